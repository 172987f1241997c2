package fill

import "time"

// audience is who reads a fill. It is guarded by the fill's mutex.
type audience struct {
	readers   int       // joined or joining, and not yet left
	expected  bool      // whoever began it has not come yet
	over      bool      // it takes no more readers
	idleSince time.Time // when the last reader left
	patience  *time.Timer
}

// enter counts a reader in, unless it is too late. first: it is the one for whom the
// fill was begun, for whom it never is.
func (f *Fill) enter(key string) (first, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first = f.expected && key == f.first.Key()
	if f.over && !first {
		return false, false
	}
	if first {
		f.expected = false
	}
	f.readers++
	return first, true
}

func (f *Fill) exit() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers--
	if f.readers == 0 {
		f.idleSince = time.Now()
		f.drain()
		if !f.over || f.expected {
			f.patience.Reset(grace)
		}
	}
}

// expire abandons the fill when nobody has read for the grace period.
func (f *Fill) expire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readers > 0 || time.Since(f.idleSince) < grace {
		return
	}
	f.expected = false
	f.drain()
	if !f.verified { // else it is being stored
		f.over = true
		f.cancel()
	}
}

// close takes no more readers.
func (f *Fill) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	f.drain()
}

// drain notes that the last reader has left. f.mu is held.
func (f *Fill) drain() {
	if f.over && f.readers == 0 && !f.expected && !happened(f.drained) {
		close(f.drained)
	}
}
