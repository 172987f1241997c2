package index

import (
	"errors"
	"time"
)

const (
	// batchDelay is how long grants wait for others to be written with.
	batchDelay = 500 * time.Millisecond
	copyPeriod = time.Hour

	shortestPause = time.Second
	longestPause  = time.Minute
)

// run is the goroutine that writes: batches, every hour the copy, and a new file
// where the old one is damaged.
func (x *Index) run() {
	defer close(x.ended)
	hour := time.NewTicker(x.options.copyPeriod)
	defer hour.Stop()
	var due <-chan time.Time
	for {
		select {
		case <-x.stop:
			return
		case <-x.dirty:
			if due == nil {
				due = time.After(x.options.batchDelay)
			}
		case <-hour.C:
			if x.flush() == nil {
				_ = x.copy() // was noted
			}
		case <-due:
			due = nil
			if x.flush() != nil {
				due = time.After(x.pause)
			} else if x.journal.large.Load() && x.copy() != nil {
				due = time.After(longestPause)
			}
		}
	}
}

// flush writes the batch. What could not be written is put back and tried again
// after a growing pause; where the file is damaged or gone it is written anew.
func (x *Index) flush() error {
	x.journal.poke()
	var b batch
	x.locked(func() { b = x.state.drain() })
	err := x.write(b)
	if err == nil {
		x.pause = 0
		return nil
	}
	x.locked(func() { x.state.undo(b) })
	x.pause = min(max(2*x.pause, shortestPause), longestPause)
	return err
}

func (x *Index) write(b batch) error {
	if x.file == nil || b.overflow {
		return x.rebuild(nil, b)
	}
	if b.empty() && b.applied == x.file.applied && x.file.seen.untouched(x.options.Path) == nil {
		return nil
	}
	err := x.file.write(b)
	if damaged(err) {
		return x.rebuild(err, b)
	}
	x.changed = true
	return x.trouble.note("batch", err)
}

// rebuild writes a new file from memory. A damaged one is set aside before, one
// that only lacks too much stays until the new one is there. The batch is in it:
// memory has all of it but the facts of blobs.
func (x *Index) rebuild(damage error, b batch) error {
	if damage != nil {
		x.closeFile() // nothing in it counts
		aside, err := setAside(x.options.Path)
		x.trouble.damaged(errors.Join(damage, err), aside, "written anew from memory")
	}
	f, err := buildFile(x.options.Path, x.options.fault, x.state, x.locked, b.blobs())
	if x.trouble.note("rebuild", err) != nil {
		return err
	}
	x.closeFile()
	x.file, x.changed = f, true
	return nil
}

// closeFile closes a file that is replaced: what that says does not matter.
func (x *Index) closeFile() {
	if x.file != nil {
		_ = x.file.close()
		x.file = nil
	}
}
