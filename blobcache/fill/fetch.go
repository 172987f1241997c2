package fill

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"
)

// chunk is what is read from upstream at once: all the memory that a fetcher has.
type chunk [128 << 10]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

// storageError is a fault of the disk.
type storageError struct {
	Err   error
	spare *request // upstream's answer, about where the file ends; may be nil
}

func (e *storageError) Error() string { return fmt.Sprintf("keeping a blob: %v", e.Err) }
func (e *storageError) Unwrap() error { return e.Err }

// fetch brings the whole blob into the file and verifies it. Segments end with it.
func (f *Fill) fetch() error {
	ctx, cancel := context.WithCancel(f.ctx)
	defer f.segments.Wait()
	defer cancel()

	s := f.stream(f.ctx, f.sources, 0, -1)
	s.prefix = func() ([]byte, int64) { return f.hash.Sum(nil), f.hashed }
	defer s.drop()
	if err := s.open(); err != nil {
		return err
	}
	if err := f.begin(s, ctx); err != nil {
		return err
	}
	defer f.stopSegments()
	if err := f.main(s); err != nil {
		return err
	}
	if digest.NewDigest(f.options.Digest.Algorithm(), f.hash) != f.options.Digest {
		return &MismatchError{Want: f.options.Digest}
	}
	return f.release()
}

// begin makes the file, now that upstream's headers are there.
func (f *Fill) begin(s *stream, segmentLife context.Context) error {
	file, err := f.options.Create(s.size)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.size = s.size
	if err != nil {
		return &storageError{Err: err, spare: s.release(nil)}
	}
	f.file, f.rate, f.segmentLife = file, newMeter(), segmentLife
	close(f.opened)
	return nil
}

// main is the main stream. It brings what is missing, from the beginning on.
func (f *Fill) main(s *stream) error {
	buffer := chunks.Get().(*chunk)
	defer chunks.Put(buffer)
	for {
		next, busy := f.next()
		if busy != nil { // segments are bringing the rest
			select {
			case <-busy:
				continue
			case <-f.ctx.Done():
				return context.Cause(f.ctx)
			}
		}
		s.seek(next.start, next.end)
		n, err := s.Read(buffer[:])
		f.learn(s.size)
		last := err == io.EOF // of the blob: a stretch is never empty before
		if err != nil && !last {
			return err
		}
		if err = f.keep(next.start, buffer[:n]); err != nil && f.ctx.Err() == nil {
			return &storageError{Err: err, spare: s.release(buffer[:n])}
		}
		if err != nil || last {
			return err
		}
	}
}

// next returns the first bytes that are missing and that nobody brings; the empty
// span at the blob's end when all are there. While the last ones are brought, busy is
// closed when one who brings them is done.
func (f *Fill) next() (missing span, busy <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	limit := f.size
	if limit < 0 {
		f.front = f.have.until(0)
		return span{f.front, -1}, nil
	}
	at := f.have.until(0)
	for c := f.claim(at); c != nil; c = f.claim(at) {
		at = f.have.until(c.end)
	}
	if at == limit && len(f.claims) > 0 {
		return span{}, f.claims[0].done
	}
	f.front = at
	end := f.have.gap(at, limit).end
	for _, c := range f.claims {
		if c.start > at {
			end = min(end, c.start)
		}
	}
	return span{at, end}, nil
}

// learn notes the size when upstream has told it late, or by the blob's end.
func (f *Fill) learn(size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.size < 0 && size >= 0 {
		f.size = size
		f.wakeAll()
	}
}

// keep puts bytes of the main stream into the file, and into the hash from memory
// where it has come so far.
func (f *Fill) keep(at int64, b []byte) error {
	if len(b) == 0 {
		return f.catchUp()
	}
	if _, err := f.file.WriteAt(b, at); err != nil {
		return err
	}
	end := at + int64(len(b))
	f.mu.Lock()
	f.have.add(at, end)
	f.rate.add(len(b))
	f.wake(at, end)
	f.mu.Unlock()
	if f.hashed == at {
		_, _ = f.hash.Write(b) // a hash never fails
		f.hashed = end
	}
	return f.catchUp()
}

// catchUp hashes what segments have brought, and what came while they were brought.
func (f *Fill) catchUp() error {
	f.mu.Lock()
	until := f.have.until(0)
	f.mu.Unlock()
	if f.hashed == until {
		return nil
	}
	buffer := chunks.Get().(*chunk)
	defer chunks.Put(buffer)
	for f.hashed < until && f.ctx.Err() == nil {
		b := buffer[:min(int64(len(buffer)), until-f.hashed)]
		if err := readFull(f.file, b, f.hashed); err != nil {
			return err
		}
		_, _ = f.hash.Write(b) // a hash never fails
		f.hashed += int64(len(b))
	}
	return context.Cause(f.ctx)
}

// readFull reads bytes that are there: a file that ends before them is damaged.
func readFull(file io.ReaderAt, b []byte, at int64) error {
	n, err := file.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	return cut(err)
}

// release lets the last bytes go to the readers.
func (f *Fill) release() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return context.Canceled // abandoned at the last moment
	}
	f.verified = true
	f.wakeAll()
	return nil
}
