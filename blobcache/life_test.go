package blobcache_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"breakwater/blobcache"
	"breakwater/blobcache/disk"

	"github.com/opencontainers/go-digest"
)

// Without a folder documents are in memory, and blobs go past, verified.
func TestMemoryOnly(t *testing.T) {
	w := open(t, "")
	goesPast(w)
	if got := w.Stats().Disk; got != (disk.Stats{}) {
		t.Errorf("%+v", got)
	}
	if got, err := w.PurgeAll(); err != nil || got != (blobcache.Purged{}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// goesPast checks a cache that has no disk.
func goesPast(w *world) {
	w.Helper()
	d, body := content(1, 3000)
	w.Keep(d, body)
	if got, ok := w.Document(w.Context(), d); !ok || string(got) != string(body) || !w.Held(d) {
		w.Error("a document is not there")
	}
	from := newRepository("a")
	large := from.push(2, mib)
	for i := range 2 {
		if how := w.fetched(from, large); how != blobcache.Passed {
			w.Errorf("pull %d is a %s", i, how)
		}
		if fetches, _ := from.asked(); w.Held(large) || fetches != i+1 {
			w.Errorf("after pull %d: held %t, %d transfers", i, w.Held(large), fetches)
		}
	}
	from.set(func() { from.wrong = true })
	if body, _, err := w.fetch(from, large); !mismatched(err) || len(body) > mib-64*kib {
		w.Errorf("wrong bytes past the cache: %d bytes, %v", len(body), err)
	}
	w.Touch([]digest.Digest{d, large})
	if err := w.Block(d); err != nil || w.Held(d) || !w.Index().Blocked(d) {
		w.Errorf("a block: %v, held %t", err, w.Held(d))
	}
}

// A blob larger than the budget goes through, verified and uncached, and is told.
func TestABlobLargerThanTheBudget(t *testing.T) {
	w := open(t, t.TempDir(), func(o *blobcache.Options) { o.MaxSize = mib })
	from := newRepository("a")
	small, large := from.push(1, 200*kib), from.push(2, mib+1)
	w.fetched(from, small)
	for range 2 {
		w.fetched(from, large)
	}
	if w.Held(large) || !w.holds(small) {
		t.Errorf("the large one is held: %t, the small one: %t", w.Held(large), w.holds(small))
	}
	if w.events.told("bypassed room") != 2 || w.events.told("evicted size") != 0 {
		t.Errorf("told %v", w.events.said)
	}
	w.wantFiles(1)
}

// Close ends what is under way: its readers are told, and nothing is left behind.
func TestCloseWhileTransfersRun(t *testing.T) {
	w := open(t, t.TempDir())
	from := newRepository("a")
	hold := make(chan struct{})
	from.set(func() { from.hold = hold })
	ended := make(chan error)
	var blobs []digest.Digest
	for i := range 8 {
		d := from.push(i, mib)
		blobs = append(blobs, d)
		blob, _, err := w.Join(t.Context(), d, from.source(d))
		if err != nil {
			t.Fatal(err)
		}
		section := blob.Section(t.Context(), 0, -1, true)
		if _, err := io.CopyN(io.Discard, section, 1000); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := io.Copy(io.Discard, section)
			ended <- errors.Join(err, section.Close(), blob.Close())
		}()
	}
	cache := w.Cache
	w.stop() // while bodies hang
	for range blobs {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("a reader was told %v", err)
		}
	}
	close(hold)
	if _, _, err := cache.Join(t.Context(), blobs[0], from.source(blobs[0])); err == nil {
		t.Error("a closed cache begins a transfer")
	}
	d, body := content(99, 100)
	cache.Keep(d, body)

	w.start()
	if files, size := w.onDisk(); files != 0 || w.Stats().Disk.Bytes != 0 {
		t.Errorf("%d files of %d bytes are left, %+v", files, size, w.Stats().Disk)
	}
	w.fetched(from, blobs[0])
}

// The second to come waits for the folder, and then says who has it.
func TestTwoOnOneFolder(t *testing.T) {
	first := open(t, t.TempDir())
	second := first.options
	second.LockWait = 200 * time.Millisecond
	_, err := blobcache.Open(t.Context(), second)
	if locked, ok := errors.AsType[*disk.LockedError](err); !ok || locked.PID == 0 {
		t.Errorf("the second: %v", err)
	}
	second.LockWait = 5 * time.Second
	leaves := make(chan error)
	go func(c *blobcache.Cache) { time.Sleep(100 * time.Millisecond); leaves <- c.Close() }(first.Cache)
	cache, err := blobcache.Open(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-leaves, cache.Close()); err != nil {
		t.Error(err)
	}
	first.Cache = nil
}

// A mistake of the configuration is an error, not a reason to go on without a disk.
func TestMistakesAreErrors(t *testing.T) {
	for name, change := range map[string]func(*blobcache.Options){
		"no budget":        func(o *blobcache.Options) { o.MaxSize = 0 },
		"no absolute path": func(o *blobcache.Options) { o.Dir = "here" },
	} {
		o := blobcache.Options{Dir: t.TempDir(), MaxSize: mib, Memory: mib, Events: &events{}, Log: quiet}
		change(&o)
		if cache, err := blobcache.Open(t.Context(), o); err == nil {
			t.Errorf("%s: no error", name)
			_ = cache.Close()
		}
	}
}
