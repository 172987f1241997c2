package fill

import (
	"context"
	"errors"
	"hash"
	"io"
	"syscall"
	"time"
)

// spareTime is how long upstream's answer waits for a reader who can go on with it.
const spareTime = 10 * time.Second

// cutoff is how far a file goes that was given up.
type cutoff struct {
	at    int64       // everything before is there …
	hash  hash.Cloner // … and has this sum
	spare *request    // guarded by the fill's mutex
}

// copyHash returns the hash at the cutoff, for one transfer to go on with.
func (c *cutoff) copyHash() hash.Hash {
	h, err := c.hash.Clone()
	if err != nil {
		panic(err) // hash.Cloner: only one that wraps another may fail
	}
	return h
}

// giveUp lets readers have what the file holds, and go on by themselves from there.
func (f *Fill) giveUp(err error, spare *request) {
	f.warn("a blob cannot be kept; its readers are served past the cache", err)
	f.options.Events.Bypassed(f.reason(err))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cutoff = &cutoff{at: f.hashed, hash: f.hash.(hash.Cloner), spare: spare}
	if !happened(f.opened) {
		close(f.opened)
	}
	f.wakeAll()
}

// reason is which word Events have for a fault of the disk.
func (f *Fill) reason(err error) string {
	for _, full := range []error{f.options.NoRoom, syscall.ENOSPC, syscall.EDQUOT} {
		if full != nil && errors.Is(err, full) {
			return "room"
		}
	}
	return "disk"
}

// unreadable is for a section that cannot read what the file ought to hold: all of it
// is to be had anew.
func (f *Fill) unreadable(err error) *cutoff {
	f.mu.Lock()
	first := !f.damaged
	f.damaged = true
	f.mu.Unlock()
	if first {
		f.warn("a blob that was just written cannot be read; its readers are served past the cache", err)
		f.options.Events.Bypassed("disk")
	}
	return &cutoff{hash: newHash(f.options.Digest).(hash.Cloner)}
}

// readBack reads b from the file at at.
func (f *Fill) readBack(b []byte, at int64) error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return errClosed
	}
	f.reads.Add(1)
	f.mu.Unlock()
	defer f.reads.Done()
	return readFull(f.file, b, at)
}

// keepSpare keeps upstream's answer for the first reader who can go on with it.
func (f *Fill) keepSpare() {
	if f.cutoff == nil {
		return
	}
	patience := time.NewTimer(spareTime)
	defer patience.Stop()
	select {
	case <-patience.C:
	case <-f.drained:
	case <-f.life.Done():
	}
	if spare := f.takeSpare(func(*request) bool { return true }); spare != nil {
		spare.close()
	}
}

func (f *Fill) takeSpare(fits func(*request) bool) *request {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cutoff == nil || f.cutoff.spare == nil || !fits(f.cutoff.spare) {
		return nil
	}
	spare := f.cutoff.spare
	f.cutoff.spare = nil
	return spare
}

// transfer is what one section reads past the cache.
type transfer struct {
	io.Reader
	stream *stream
	cancel func()
}

func (t *transfer) Close() error {
	t.cancel()
	t.stream.drop()
	return nil
}

// bypass goes on by a transfer of the section's own. Only its own source is asked: it
// has nobody else's leave.
func (s *section) bypass(c *cutoff) {
	f := s.reader.fill
	ctx, cancel := context.WithCancel(s.ctx)
	stop := context.AfterFunc(f.life, cancel)
	t := &transfer{cancel: func() { stop(); cancel() }}
	t.stream = f.stream(ctx, newSources(s.reader.origin.Source), s.at, s.end)
	if s.verified {
		t.Reader = s.withhold(t.stream, c)
	} else {
		t.Reader = t.stream
		t.stream.prefix = func() ([]byte, int64) { return newHash(f.options.Digest).Sum(nil), 0 }
	}
	if spare := f.takeSpare(func(r *request) bool { return r.at == t.stream.at }); spare != nil {
		t.stream.request = spare
		context.AfterFunc(ctx, spare.cancel)
	}
	s.own = t
}
