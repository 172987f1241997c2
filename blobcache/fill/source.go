package fill

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
)

// A Source is one place to get the blob from: one repository of one upstream.
type Source interface {
	// Key tells sources apart: two with the same key are the same place.
	Key() string
	// Prove asks whether the blob may be had from here, without its bytes. nil: yes.
	Prove(ctx context.Context) error
	// Fetch opens the blob at offset, up to n bytes (n < 0: to its end). A Part that
	// begins at 0 for an offset > 0 says that ranges are ignored here. The error is a
	// *Refusal, or a passing fault that makes Fetch be tried again. The end of ctx
	// ends a Read of the body, too.
	Fetch(ctx context.Context, offset, n int64) (Part, error)
}

// Judged is a [Source] that wants to hear whether the blob for which bytes came from it
// was found to be right.
type Judged interface{ Judged(right bool) }

// Part is a blob's bytes on their way.
type Part struct {
	Body   io.ReadCloser // a Read that waits too long for a byte fails: that is the source's to see to
	Offset int64         // of the body's first byte in the blob
	Size   int64         // of the whole blob in bytes; -1 when it is not known
}

// Refusal marks an error of Fetch that asking again would not change. The source is
// removed, and those who wait for bytes by its leave get Err.
type Refusal struct{ Err error }

// Error is that of the refusal itself.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap gives Err.
func (r *Refusal) Unwrap() error { return r.Err }

// MismatchError says that the bytes that came are not those that the digest names.
type MismatchError struct{ Want digest.Digest }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("the content does not have the digest %s", e.Want)
}

// ErrEnded says that a fill takes no more readers: start anew.
var ErrEnded = errors.New("the transfer has ended")

var (
	errNoRanges = errors.New("upstream ignores ranges")
	errClosed   = errors.New("the reader is closed")
)
