package fill_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"breakwater/blobcache/fill"
)

// Nobody waits any more: after the grace period the fill ends, and its body with it.
func TestAbandoned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(10 * mib)
		up.rate = 100 * kib
		w := newWorld(t, up)
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		w.right(w.read(r, 0, 200*kib, true), 200*kib)
		r.Close()
		left := time.Now()
		time.Sleep(29 * time.Second)
		if w.count("ended") != 0 {
			t.Error("given up too early")
		}
		w.finish(fill.ResultAbandoned)
		if after := time.Since(left); after != 30*time.Second {
			t.Errorf("given up after %v", after)
		}
		if _, err := w.fill.Join(t.Context(), up.source("a")); err != fill.ErrEnded {
			t.Errorf("who comes too late: %v", err)
		}
	})
}

// A client that comes again in time goes on where it was.
func TestComesAgainInTheGrace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(10 * mib)
		up.rate = 30 * kib
		w := newWorld(t, up)
		w.begin(up.source("a"))
		for i := range int64(10) {
			r := w.join(up.source("a"))
			w.right(w.read(r, i*mib, mib, false), mib)
			r.Close()
			r.Close() // once more does no harm
			time.Sleep(29 * time.Second)
		}
		w.finish(fill.ResultStored)
		if len(up.saw()) != 1 {
			t.Errorf("requests %v", up.saw())
		}
	})
}

// A reader that waits for a slow upstream keeps the fill alive; whoever began it may
// never come.
func TestStarterNeverComes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		up.plan = func(int, int64, int64) plan { return plan{wait: time.Hour} }
		w := newWorld(t, up)
		w.begin(up.source("a"))
		w.finish(fill.ResultAbandoned)
	})
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		w := newWorld(t, up)
		w.begin(up.source("a"))
		begin := time.Now()
		w.finish(fill.ResultStored)
		if took := time.Since(begin); took != 30*time.Second { // the file stays open for it as long
			t.Errorf("took %v", took)
		}
	})
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		up.plan = func(int, int64, int64) plan { return plan{wait: 5 * time.Minute} }
		w := newWorld(t, up)
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		w.whole(r)
		r.Close()
		w.finish(fill.ResultStored)
	})
}

// The end of life ends everything: readers, those who join, the body, the file.
func TestEndOfLife(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(10 * mib)
		up.rate = 100 * kib
		w := newWorld(t, up)
		w.begin(up.source("a"))
		b := up.source("b")
		b.prove = func(ctx context.Context) error { return sleep(ctx, time.Minute) }
		var clients sync.WaitGroup
		clients.Go(func() {
			r := w.join(up.source("a"))
			defer r.Close()
			if o := w.read(r, 0, -1, true); o.err != context.Canceled || o.wrong {
				t.Errorf("reader: %v", o.err)
			}
		})
		clients.Go(func() {
			if _, err := w.fill.Join(t.Context(), b); err != fill.ErrEnded {
				t.Errorf("who was asked for meanwhile: %v", err)
			}
		})
		time.Sleep(10 * time.Second)
		w.end()
		w.finish(fill.ResultAbandoned)
		clients.Wait()
	})
}

// slowDisk is a file that is read slowly.
type slowDisk struct{ *file }

func (s slowDisk) ReadAt(p []byte, at int64) (int, error) {
	time.Sleep(10 * time.Second)
	return s.file.ReadAt(p, at)
}

// The end of life waits for the disk, and closes no file that is being read.
func TestEndOfLifeWaitsForReads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		w := newWorld(t, up)
		o := w.options()
		o.Create = func(int64) (fill.File, error) { return slowDisk{w.file}, nil }
		w.fill = fill.New(w.life, o, up.source("a"))
		r := w.join(up.source("a"))
		var clients sync.WaitGroup
		clients.Go(func() {
			defer r.Close()
			if o := w.read(r, 0, -1, true); o.n != 100_000 || o.wrong || o.err != context.Canceled {
				t.Errorf("%d bytes, wrong: %v, %v", o.n, o.wrong, o.err)
			}
		})
		time.Sleep(5 * time.Second)
		w.end()
		w.fill.Wait()
		clients.Wait()
		if w.count("bypassed disk") != 0 {
			t.Errorf("events %v", w.order)
		}
	})
}

// Who reads on after the fill ended is served until it closes its reader; then the
// file is closed.
func TestReadsOnAfterTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		w := newWorld(t, up)
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		section := r.Section(t.Context(), 0, -1, true)
		time.Sleep(time.Hour)
		if w.count("ended") != 1 || w.file.closed != 0 {
			t.Errorf("events %v, file closed %d times", w.order, w.file.closed)
		}
		w.whole(r)
		if n, err := io.Copy(io.Discard, section); n != mib || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		late := r.Section(t.Context(), 0, -1, true)
		r.Close()
		w.finish(fill.ResultStored)
		if _, err := late.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("read from a closed reader: %v", err)
		}
		section.Close()
		if _, err := section.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("read from a closed section: %v", err)
		}
	})
}

// While it is being stored a fill is not abandoned.
func TestNotAbandonedWhileStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		w := newWorld(t, up)
		o := w.options()
		o.Create = func(int64) (fill.File, error) { return slowCommit{w.file, 2 * time.Minute}, nil }
		w.fill = fill.New(w.life, o, up.source("a"))
		time.Sleep(time.Minute)
		r := w.join(up.source("b"))
		w.whole(r)
		r.Close()
		w.finish(fill.ResultStored)
	})
}
