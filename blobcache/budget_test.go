package blobcache_test

import (
	"sync"
	"testing"
	"time"

	"breakwater/blobcache"

	"github.com/opencontainers/go-digest"
)

// A thousand blobs go through a budget of a hundred, by four clients, while slow
// readers pin some: the budget holds at every look, at the numbers and at the files,
// and everybody gets the right bytes.
func TestBudgetHolds(t *testing.T) {
	const (
		rounds, blobs, size = 20, 1000, 8 * kib
		budget              = 100 * size
	)
	w := open(t, t.TempDir(), func(o *blobcache.Options) { o.MaxSize, o.Memory = budget, kib })
	from := newRepository("a")

	looking := make(chan struct{})
	var look sync.WaitGroup
	look.Go(func() {
		for {
			select {
			case <-looking:
				return
			case <-time.After(time.Millisecond):
				if got := w.Stats().Disk; got.Bytes > budget || got.Bytes < 0 || got.Promised > budget {
					t.Errorf("%+v", got)
				}
			}
		}
	})
	slow := make(chan blobcache.Content, blobs) // of which each is read at last
	for round := range rounds {
		var clients sync.WaitGroup
		for client := range 4 {
			clients.Go(func() {
				for i := round*blobs/rounds + client; i < (round+1)*blobs/rounds; i += 4 {
					d := from.push(i, size)
					w.fetched(from, d)
					if i%3 > 0 {
						continue
					}
					blob, ok := w.Cache.Open(t.Context(), d)
					if !ok {
						t.Errorf("number %d is not held", i)
						continue
					}
					slow <- blob
				}
			})
		}
		clients.Wait()
		if _, size := w.onDisk(); size > budget {
			t.Errorf("after round %d: %d bytes of files", round, size)
		}
		for len(slow) > 40 {
			readOut(t, <-slow, size)
		}
	}
	for len(slow) > 0 {
		readOut(t, <-slow, size)
	}
	close(looking)
	look.Wait()

	got := w.Stats().Disk
	if got.Bytes != budget || got.Objects != 100 || got.Pinned != 0 || got.Promised != 0 {
		t.Errorf("at last %+v", got)
	}
	if files, size := w.onDisk(); files != 100 || size != budget {
		t.Errorf("%d files of %d bytes", files, size)
	}
	if n := w.events.told("evicted size"); n != blobs-100 {
		t.Errorf("%d were evicted, want %d", n, blobs-100)
	}
	if n := w.events.told("fill stored"); n != blobs {
		t.Errorf("%d of %d were stored", n, blobs)
	}
}

// readOut reads a blob to its end, long after it was opened.
func readOut(t *testing.T, blob blobcache.Content, size int) {
	t.Helper()
	if body, err := all(t.Context(), blob); err != nil || len(body) != size {
		t.Errorf("a slow reader: %d bytes, %v", len(body), err)
	}
	if err := blob.Close(); err != nil {
		t.Error(err)
	}
}

// Where readers pin all there is, a blob goes past, and is kept once one has left.
func TestEverythingPinned(t *testing.T) {
	w := open(t, t.TempDir(), func(o *blobcache.Options) { o.MaxSize = 512 * kib })
	from := newRepository("a")
	var open []blobcache.Content
	for i := range 4 {
		d := from.push(i, 128*kib)
		w.fetched(from, d)
		blob, ok := w.Cache.Open(t.Context(), d)
		if !ok {
			t.Fatal("it is not held")
		}
		open = append(open, blob)
	}
	next := from.push(4, 128*kib)
	w.fetched(from, next)
	if w.Held(next) || w.events.told("bypassed room") != 1 {
		t.Errorf("held %t, %v", w.Held(next), w.events.said)
	}
	for _, blob := range open {
		if body, err := all(t.Context(), blob); err != nil || len(body) != 128*kib {
			t.Errorf("a pinned one: %d bytes, %v", len(body), err)
		}
		if err := blob.Close(); err != nil {
			t.Error(err)
		}
	}
	w.fetched(from, next)
	if !w.holds(next) || w.events.told("evicted size") != 1 {
		t.Errorf("held %t, %v", w.Held(next), w.events.said)
	}
}

// What is used stays: by being read, by memory's hits, and by a touch.
func TestUseKeeps(t *testing.T) {
	for name, use := range map[string]func(*world, *repository) func(){
		"read": func(w *world, from *repository) func() {
			d := from.push(0, 128*kib)
			w.fetched(from, d)
			return func() { w.holds(d) }
		},
		"read from memory": func(w *world, _ *repository) func() {
			d, body := content(0, 128*kib)
			w.Keep(d, body)
			for w.Stats().Disk.Objects == 0 {
				time.Sleep(time.Millisecond)
			}
			return func() { w.Document(w.Context(), d) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t, t.TempDir(), func(o *blobcache.Options) { o.MaxSize = 512 * kib })
			from := newRepository("a")
			used := use(w, from)
			touched := from.push(1, 128*kib)
			w.fetched(from, touched)
			for i := range 10 {
				used()
				w.Touch([]digest.Digest{touched})
				w.fetched(from, from.push(10+i, 128*kib))
			}
			if !w.Held(touched) {
				t.Error("what was touched is gone")
			}
			d, _ := content(0, 128*kib)
			if _, err := w.PurgeDigest(d); err != nil || w.events.told("evicted purged") != 1 {
				t.Errorf("the file of what was used is gone: %v", w.events.said)
			}
		})
	}
}
