package fill

import (
	"errors"
	"io"
	"time"
)

// errGivenUp tells a section that the file has no more for it.
var errGivenUp = errors.New("the file was given up")

// waiter is a section that waits for a byte.
type waiter struct {
	at    int64         // the byte; -1: only the end helps
	ready chan struct{} // closed when it is there, or will not come, or things have changed
	again <-chan time.Time
}

// look returns how many bytes there are for s, and holds the file open for their
// reading until f.reads.Done. When there are none it returns a waiter. The error is
// io.EOF, errGivenUp, or the failure that is s's answer.
func (f *Fill) look(s *section) (n int64, w *waiter, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, wrong := errors.AsType[*MismatchError](f.failure); wrong {
		return 0, nil, f.failure
	}
	if f.closed {
		if f.failure != nil {
			return 0, nil, f.failure
		}
		return 0, nil, errClosed
	}
	withheld := s.verified && !f.verified
	end := f.end(s)
	if end >= 0 && s.at >= end && !(withheld && end == f.size) {
		return 0, nil, io.EOF
	}
	until := f.have.until(s.at)
	if end >= 0 {
		until = min(until, end)
	}
	if withheld {
		until = min(until, f.free())
	}
	if until > s.at {
		f.reads.Add(1)
		return until - s.at, nil, nil
	}
	if f.cutoff != nil {
		return 0, nil, errGivenUp
	}
	if f.failure != nil {
		return 0, nil, f.failure
	}
	return 0, f.park(s, withheld), nil
}

// end is where s ends, -1 if that is not known. f.mu is held.
func (f *Fill) end(s *section) int64 {
	if s.end < 0 || f.size >= 0 && f.size < s.end {
		return f.size
	}
	return s.end
}

// free is where the bytes end that a verified section may have before the digest was
// right. f.mu is held.
func (f *Fill) free() int64 {
	end := f.size
	if end < 0 {
		end = f.have.until(0) // if this were the blob's end, these were its last bytes
	}
	if f.cutoff != nil {
		return min(end-withheldTail, f.cutoff.at)
	}
	return end - withheldTail
}

// park notes what s waits for. f.mu is held.
func (f *Fill) park(s *section, withheld bool) *waiter {
	w := &waiter{at: s.at, ready: make(chan struct{})}
	switch {
	case withheld && f.size < 0:
		w.at = s.at + withheldTail
	case withheld && s.at >= f.size-withheldTail:
		w.at = -1
	default:
		f.hasten(s.at)
		if s.at-f.front > farBytes/f.options.scale() && f.segmentLife != nil {
			w.again = time.After(askAgain)
		}
	}
	f.waiters[w] = struct{}{}
	return w
}

func (f *Fill) unpark(w *waiter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.waiters, w)
}

// wake lets those go on who wait for one of the bytes [start, end). f.mu is held.
func (f *Fill) wake(start, end int64) {
	for w := range f.waiters {
		if start <= w.at && w.at < end {
			close(w.ready)
			delete(f.waiters, w)
		}
	}
}

// wakeAll lets everybody look again. f.mu is held.
func (f *Fill) wakeAll() {
	for w := range f.waiters {
		close(w.ready)
	}
	clear(f.waiters)
}
