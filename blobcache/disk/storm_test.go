package disk

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Many goroutines open, fill, give up, touch, purge and verify the same few digests,
// within a budget that holds half of them. Every byte that anybody reads is right, and
// in the end the sums are.
func TestStorm(t *testing.T) {
	const blobs, size = 8, 3*4096 + 17
	w := newWorld(t, budget(blobs/2*4*4096))
	contents := make([][]byte, blobs)
	for i := range contents {
		contents[i] = content(uint64(i), size)
	}
	var read, filled, removed atomic.Int64
	act := func(random *rand.Rand) error {
		b := contents[random.IntN(blobs)]
		d := sum(b)
		switch random.IntN(10) {
		case 0:
			if w.Remove(d) {
				removed.Add(1)
			}
			return nil
		case 1:
			return tolerate(w.Verify(t.Context(), d, 0))
		case 2:
			p, err := w.Create(d, -1)
			if err != nil {
				return tolerate(err)
			}
			_, err = p.WriteAt(b[:random.IntN(size)], 0)
			return errors.Join(tolerate(err), p.Close())
		case 3, 4, 5:
			err := put(w.Store, d, b, int64(len(b)))
			if err == nil {
				filled.Add(1)
			}
			return tolerate(err)
		}
		blob, err := w.Store.Open(t.Context(), d)
		if err != nil {
			return tolerate(err)
		}
		got, err := io.ReadAll(io.NewSectionReader(blob, 0, blob.Size()))
		if err == nil && string(got) != string(b) {
			err = errors.New("a reader got wrong bytes")
		}
		read.Add(1)
		return errors.Join(err, blob.Close())
	}
	var all sync.WaitGroup
	for i := range uint64(8) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(i, 1))
			for range 400 {
				if err := act(random); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if read.Load() == 0 || filled.Load() == 0 || removed.Load() == 0 || w.events.of(w.events.evicted, "size") == 0 {
		t.Errorf("a storm without wind: read %d, filled %d, removed %d, evicted %d",
			read.Load(), filled.Load(), removed.Load(), w.events.of(w.events.evicted, "size"))
	}
	if len(w.events.damaged) != 0 || len(w.events.failed) != 0 {
		t.Errorf("damaged %v, failed %v", w.events.damaged, w.events.failed)
	}
	w.wantSound()
	if st, disk := w.Stats(), onDisk(t, w.dir); st.Pinned != 0 || st.Promised != 0 || st.Bytes != disk {
		t.Errorf("at rest: %+v, %d on disk", st, disk)
	}
}

// tolerate passes on only what a storm may not bring about.
func tolerate(err error) error {
	for _, usual := range []error{ErrAbsent, ErrExists, ErrNoRoom} {
		if errors.Is(err, usual) {
			return nil
		}
	}
	return err
}

// A blob that is purged while it is read: absent for newcomers, filled anew beside the
// reader, who reads on; its bytes count until it closes.
func TestRemoveWhileRead(t *testing.T) {
	w := newWorld(t, nil)
	b := content(1, 2*4096)
	d := w.put(b)
	blob, err := w.Store.Open(t.Context(), d)
	must(t, err)
	if !w.Remove(d) {
		t.Fatal("nothing was removed")
	}
	w.wantAbsent(d)
	if w.Remove(d) {
		t.Error("removed again")
	}
	if got := w.Stats().Bytes; got != 2*4096 {
		t.Errorf("%d bytes counted while it is read", got)
	}
	w.put(b)
	if got := w.Stats().Bytes; got != 4*4096 {
		t.Errorf("%d bytes counted with the new file", got)
	}
	got, err := io.ReadAll(blob.File())
	if err != nil || string(got) != string(b) {
		t.Errorf("the reader got %d bytes, %v", len(got), err)
	}
	blob.Damaged(errors.New("of the old file")) // must not touch the new one
	must(t, blob.Close())
	must(t, blob.Close())
	w.wantHeld(d, b)
	if got := w.Stats(); got.Bytes != 2*4096 || got.Pinned != 0 {
		t.Errorf("after the reader closed: %+v", got)
	}
	if w.events.of(w.events.evicted, "purged") != 1 || len(w.events.damaged) != 0 {
		t.Errorf("evicted %v damaged %v", w.events.evicted, w.events.damaged)
	}
	w.wantSound()
}

func TestRemoveWhileFilled(t *testing.T) {
	w := newWorld(t, nil)
	b := content(1, 5000)
	p, err := w.Create(sum(b), 5000)
	must(t, err)
	_, err = p.WriteAt(b, 0)
	must(t, err)
	if !w.Remove(sum(b)) {
		t.Error("a fill is something to remove")
	}
	if err := p.Commit(); !errors.Is(err, ErrAbsent) {
		t.Errorf("Commit: %v", err)
	}
	got := make([]byte, 5000)
	if _, err := p.ReadAt(got, 0); err != nil || string(got) != string(b) {
		t.Errorf("its readers cannot read on: %v", err)
	}
	must(t, p.Close())
	w.wantAbsent(sum(b))
	w.put(b)
	w.wantHeld(sum(b), b)
}

// A Partial reads on after Commit, while the blob is purged or would be evicted.
func TestReadThroughPartialAfterCommit(t *testing.T) {
	w := newWorld(t, budget(2*4096))
	b := content(1, 4096)
	p, err := w.Create(sum(b), int64(len(b)))
	must(t, err)
	_, err = p.WriteAt(b, 0)
	must(t, err)
	must(t, p.Commit())
	must(t, p.Discard()) // after a Commit: nothing
	if err := p.Commit(); err == nil {
		t.Error("committed twice")
	}
	if _, err := p.WriteAt(b, 0); err == nil {
		t.Error("written after Commit")
	}
	w.put(content(2, 4096))
	w.put(content(3, 4096)) // evicts 2, not what is read through p
	w.wantHeld(sum(b), b)
	w.Remove(sum(b))
	got := make([]byte, len(b))
	if _, err := p.ReadAt(got, 0); err != nil || string(got) != string(b) {
		t.Errorf("ReadAt after purge: %v", err)
	}
	must(t, p.Close())
	must(t, p.Close())
	if st := w.Stats(); st.Bytes != 4096 || st.Pinned != 0 {
		t.Errorf("in the end: %+v", st)
	}
	w.wantSound()
}

// What was not written whole is never present.
func TestCommitOfPart(t *testing.T) {
	w := newWorld(t, nil)
	b := content(1, 3*4096)
	for name, write := range map[string]func(*Partial) error{
		"nothing":  func(*Partial) error { return nil },
		"a prefix": func(p *Partial) error { _, err := p.WriteAt(b[:5000], 0); return err },
		"the tail": func(p *Partial) error { _, err := p.WriteAt(b[8192:], 8192); return err },
		"a hole": func(p *Partial) error {
			_, err := p.WriteAt(b[:4096], 0)
			_, err2 := p.WriteAt(b[8192:], 8192)
			return errors.Join(err, err2)
		},
	} {
		p, err := w.Create(sum(b), int64(len(b)))
		must(t, err)
		must(t, write(p))
		if err := p.Commit(); err == nil {
			t.Errorf("%s: committed", name)
		}
		must(t, p.Close())
		w.wantAbsent(sum(b))
	}
}

func TestAfterClose(t *testing.T) {
	w := newWorld(t, nil)
	b := content(1, 5000)
	d := w.put(b)
	blob, err := w.Store.Open(t.Context(), d)
	must(t, err)
	p, err := w.Create(sum([]byte("more")), 4)
	must(t, err)
	must(t, w.Close())
	must(t, w.Close())
	if _, err := p.WriteAt([]byte("more"), 0); !errors.Is(err, ErrClosed) {
		t.Errorf("WriteAt: %v", err)
	}
	if err := p.Commit(); err == nil {
		t.Error("committed")
	}
	must(t, p.Close())
	if _, err := w.Create(sum([]byte("more")), 4); !errors.Is(err, ErrClosed) {
		t.Errorf("Create: %v", err)
	}
	if err := w.Verify(t.Context(), d, 0); !errors.Is(err, ErrClosed) {
		t.Errorf("Verify: %v", err)
	}
	if w.Remove(d) {
		t.Error("removed")
	}
	if _, err := w.Store.Open(t.Context(), d); !errors.Is(err, ErrClosed) {
		t.Errorf("Open: %v", err)
	}
	got := make([]byte, 5000)
	if _, err := blob.ReadAt(got, 0); err != nil || string(got) != string(b) {
		t.Errorf("an open blob cannot be read on: %v", err)
	}
	must(t, blob.Close())
	again := w.restart(true, nil)
	again.wantHeld(d, b)
	if got := onDisk(t, again.dir); got != 8192 {
		t.Errorf("%d bytes on disk after the restart", got)
	}
}

// A last use is told to Records at most every five minutes, and at Close.
func TestUsesAreRecordedLazily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		d := w.put(content(1, 100))
		puts := w.records.puts
		for range 60 * 60 {
			w.Touch(d)
			time.Sleep(time.Second)
		}
		if got := w.records.puts - puts; got < 10 || got > 12 {
			t.Errorf("an hour of use was written %d times", got)
		}
		w.Touch(d)
		last := time.Now()
		time.Sleep(time.Hour)
		must(t, w.Close())
		if f, _ := w.records.fact(d); !f.used.Equal(last) {
			t.Errorf("after Close last used %v, want %v", f.used, last)
		}
	})
}
