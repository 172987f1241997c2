package proxy

import (
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
)

// withheldTail is how many of a blob's last bytes wait for its digest. A client
// that got all but these has no complete body: the length that it was promised
// is missing, and the connection is cut.
const withheldTail = 64 << 10

// withheld reads a blob, hashes it, and keeps back the last bytes that it has
// read until the end of the blob shows that the digest is right.
type withheld struct {
	source   io.ReadCloser
	want     digest.Digest
	verifier digest.Verifier

	buffer     [2 * withheldTail]byte
	start, end int   // buffer[start:end] was read and not yet given out
	err        error // how source ended; io.EOF only after the digest was right
}

func withhold(source io.ReadCloser, want digest.Digest) *withheld {
	return &withheld{source: source, want: want, verifier: want.Verifier()}
}

// begin reads until something can be given out, or everything was verified.
func (w *withheld) begin() error {
	w.fill()
	if w.err == io.EOF {
		return nil
	}
	return w.err
}

func (w *withheld) Read(p []byte) (int, error) {
	w.fill()
	ready := w.buffer[w.start : w.end-w.heldBack()]
	if len(ready) == 0 {
		return 0, w.err
	}
	n := copy(p, ready)
	w.start += n
	return n, nil
}

// Close closes the source.
func (w *withheld) Close() error { return w.source.Close() }

// heldBack is how much of the buffer must not be given out yet; of a blob that
// failed, the rest for ever.
func (w *withheld) heldBack() int {
	if w.err == io.EOF {
		return 0
	}
	return min(withheldTail, w.end-w.start)
}

// fill reads from the source until more than the tail is there.
func (w *withheld) fill() {
	for w.err == nil && w.end-w.start <= withheldTail {
		if w.end == len(w.buffer) {
			w.end = copy(w.buffer[:], w.buffer[w.start:w.end])
			w.start = 0
		}
		n, err := w.source.Read(w.buffer[w.end:])
		_, _ = w.verifier.Write(w.buffer[w.end : w.end+n]) // a hash never fails
		w.end += n
		if err == io.EOF && !w.verifier.Verified() {
			err = mismatchError{want: w.want}
		}
		w.err = err
	}
}

// mismatchError says that content is not what its digest says.
type mismatchError struct{ want, got digest.Digest }

func (e mismatchError) Error() string {
	if e.got == "" {
		return fmt.Sprintf("the content does not have the digest %s", e.want)
	}
	return fmt.Sprintf("the content has the digest %s, not %s", e.got, e.want)
}
