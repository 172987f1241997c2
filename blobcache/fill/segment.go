package fill

import (
	"errors"
	"io"
	"time"
)

// A reader has its segment fetched when the main stream is further away than both of
// these; nearer, a request of its own would gain nothing.
const (
	farBytes    = 32 << 20
	farTime     = 2 * time.Second
	segmentSize = 4 << 20
	maxSegments = 4                      // at a time, of one fill
	askAgain    = 250 * time.Millisecond // whether it is far: rates change
)

// claim is bytes that a segment's fetcher brings.
type claim struct {
	span
	done chan struct{} // closed when they are there, or will not be brought
}

// claim returns the one that holds the byte at, or nil. f.mu is held.
func (f *Fill) claim(at int64) *claim {
	for _, c := range f.claims {
		if c.start <= at && at < c.end {
			return c
		}
	}
	return nil
}

// hasten has the segment fetched in which the missing byte at is, if it is worth it.
// f.mu is held.
func (f *Fill) hasten(at int64) {
	switch ahead := at - f.front; {
	case f.segmentLife == nil || f.size < 0 || len(f.claims) == maxSegments:
		return
	case ahead <= farBytes/f.options.scale() || !f.rate.slow(ahead, farTime) || f.claim(at) != nil:
		return
	}
	if _, err := f.sources.turn(true); err != nil {
		return
	}
	size := segmentSize / f.options.scale()
	start := at - at%size
	missing := f.have.gap(at, f.size)
	c := &claim{
		span: span{max(missing.start, start), min(missing.end, start+size)},
		done: make(chan struct{}),
	}
	f.claims = append(f.claims, c)
	life := f.segmentLife
	f.segments.Go(func() {
		s := f.stream(life, f.sources, c.start, c.end)
		err := f.bring(s)
		s.drop()
		f.disclaim(c, err)
	})
}

// bring is a segment's fetcher.
func (f *Fill) bring(s *stream) error {
	buffer := chunks.Get().(*chunk)
	defer chunks.Put(buffer)
	for {
		at := s.at
		n, err := s.Read(buffer[:])
		if err == io.EOF {
			f.options.Events.SegmentFetched()
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := f.file.WriteAt(buffer[:n], at); err != nil {
			return err
		}
		f.mu.Lock()
		f.have.add(at, at+int64(n))
		f.wake(at, at+int64(n))
		f.mu.Unlock()
	}
}

// disclaim leaves what is still missing of a segment to the main stream. After an
// error that is not one of ranges there are no more segments: it is not for them to
// find out whether upstream or the disk mends.
func (f *Fill) disclaim(c *claim, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, claimed := range f.claims {
		if claimed == c {
			f.claims = append(f.claims[:i:i], f.claims[i+1:]...)
		}
	}
	if err != nil && !errors.Is(err, errNoRanges) {
		f.segmentLife = nil
	}
	close(c.done)
	f.wakeAll() // others want a segment, too
}

// stopSegments lets no more begin.
func (f *Fill) stopSegments() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.segmentLife = nil
}
