package disk

import (
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

// What the methods of a [Store] answer, besides errors of the disk itself.
var (
	// ErrAbsent: the blob is not here, or no longer.
	ErrAbsent = errors.New("blob is not in the store")
	// ErrVerifying: the blob is here, but is being hashed anew for longer than the
	// caller can wait. It goes on; ask again later.
	ErrVerifying = errors.New("blob is still being verified")
	// ErrNoRoom: the budget, what has to stay free, or the disk leaves no room, even
	// if everything was evicted that nobody reads.
	ErrNoRoom = errors.New("no room in the store")
	// ErrExists: the blob is present or being filled.
	ErrExists = errors.New("blob is in the store, or being filled")
	// ErrClosed: the Store was closed.
	ErrClosed = errors.New("store is closed")
)

// DamagedError says that a blob's file did not hold what was written. The blob was
// removed.
type DamagedError struct {
	Digest digest.Digest
	How    string // one of the words of [Events].Damaged
	Err    error  // what was seen
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("blob %s was damaged (%s) and is removed: %v", e.Digest, e.How, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// LockedError names the process that has the folder. What is not known of it is
// zero.
type LockedError struct {
	Dir   string
	PID   int
	Host  string
	Since time.Time
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("cache folder %s is in use by %s: stop that, or choose another folder", e.Dir, e.holder())
}

func (e *LockedError) holder() string {
	if e.PID == 0 {
		return "another process"
	}
	return fmt.Sprintf("process %d on %s since %s", e.PID, e.Host, e.Since.Format(time.RFC3339))
}

// FormatError says that the folder was written by a version that this one does not
// know.
type FormatError struct {
	Found string // the first line of its FORMAT file
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("the folder has format %q, this version knows %q: run the version that wrote it, choose another folder, or empty this one", e.Found, format)
}
