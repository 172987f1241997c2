package fill

import (
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
)

// withheld hashes a stream, and keeps back the last bytes that it has read until the
// end of the blob shows that the digest is right.
type withheld struct {
	stream *stream
	hash   hash.Hash // of all before stream.at

	buffer     [2 * withheldTail]byte
	start, end int   // buffer[start:end] was read and not yet given out
	err        error // how stream ended; io.EOF only after the digest was right
}

// withhold returns a reader of s's bytes that verifies them from the cutoff on. What s
// may not have yet of the file stands before them; what s has already had of a later
// part is read once more and dropped.
func (s *section) withhold(from *stream, c *cutoff) io.Reader {
	f := s.reader.fill
	w := &withheld{stream: from, hash: c.copyHash()}
	if before := c.at - s.at; before > 0 { // at most the tail: all else it has had
		if err := f.readBack(w.buffer[:before], s.at); err != nil {
			return s.withhold(from, f.unreadable(err))
		}
		w.end = int(before)
	}
	from.at, from.end = c.at, -1
	from.prefix = func() ([]byte, int64) { return w.hash.Sum(nil), from.at }

	var r io.Reader = w
	if s.at > c.at {
		r = &behind{Reader: w, skip: s.at - c.at}
	}
	if s.end >= 0 && (from.size < 0 || s.end < from.size) {
		r = io.LimitReader(r, s.end-s.at)
	}
	return r
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

// heldBack is how much of the buffer must not be given out yet; of a blob that
// failed, the rest for ever.
func (w *withheld) heldBack() int {
	if w.err == io.EOF {
		return 0
	}
	return min(withheldTail, w.end-w.start)
}

// fill reads until more than the tail is there.
func (w *withheld) fill() {
	for w.err == nil && w.end-w.start <= withheldTail {
		if w.end == len(w.buffer) {
			w.end = copy(w.buffer[:], w.buffer[w.start:w.end])
			w.start = 0
		}
		n, err := w.stream.Read(w.buffer[w.end:])
		_, _ = w.hash.Write(w.buffer[w.end : w.end+n]) // a hash never fails
		w.end += n
		want := w.stream.want
		if err == io.EOF && digest.NewDigest(want.Algorithm(), w.hash) != want {
			err = &MismatchError{Want: want}
			w.stream.sources.judge(false)
		}
		w.err = err
	}
}

// behind leaves out the first bytes.
type behind struct {
	io.Reader
	skip int64
}

func (b *behind) Read(p []byte) (int, error) {
	for b.skip > 0 {
		n, err := io.CopyN(io.Discard, b.Reader, b.skip)
		b.skip -= n
		if err != nil {
			return 0, err
		}
	}
	return b.Reader.Read(p)
}
