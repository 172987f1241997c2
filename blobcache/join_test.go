package blobcache_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/blobcache"
	"breakwater/blobcache/fill"

	"github.com/opencontainers/go-digest"
)

// A hundred who want the same blob cost upstream one transfer, and each is counted
// once.
func TestHerd(t *testing.T) {
	w := open(t, t.TempDir())
	from := newRepository("a")
	d := from.push(1, 2*mib)
	hold := make(chan struct{})
	from.set(func() { from.hold = hold })

	const clients = 100
	hows := make(chan blobcache.How, clients)
	var joined, read sync.WaitGroup
	joined.Add(clients)
	for range clients {
		read.Go(func() {
			blob, how, err := w.Join(t.Context(), d, from.source(d))
			if err == nil && (blob.Size() != 2*mib || blob.Held()) {
				t.Errorf("size %d, held %t", blob.Size(), blob.Held())
			}
			joined.Done()
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = blob.Close() }()
			hows <- how
			section := blob.Section(t.Context(), 0, -1, true)
			defer func() { _ = section.Close() }()
			if got, err := digest.FromReader(section); err != nil || got != d {
				t.Errorf("read %s, %v", got, err)
			}
		})
	}
	joined.Wait()
	close(hold)
	read.Wait()
	close(hows)
	ways := make(map[blobcache.How]int)
	for how := range hows {
		ways[how]++
	}
	w.settled(d)
	fetches, _ := from.asked()
	if fetches != 1 || from.sent != 2*mib || ways[blobcache.Miss] != 1 || ways[blobcache.Joined] != clients-1 {
		t.Errorf("%d transfers, %d bytes, %v", fetches, from.sent, ways)
	}
	if w.events.told("joined") != clients-1 || w.events.told("fill stored") != 1 {
		t.Errorf("%d were told as joined, %d as stored", w.events.told("joined"), w.events.told("fill stored"))
	}
	if how := w.fetched(from, d); how != blobcache.Hit {
		t.Errorf("who comes after the transfer is a %s", how)
	}
	w.restart()
	if !w.holds(d) {
		t.Error("a restart lost it")
	}
}

// A source that refuses takes nobody with it, whether the blob is on its way or held
// by then.
func TestARefusedSource(t *testing.T) {
	w := open(t, t.TempDir())
	good, bad := newRepository("good"), newRepository("bad")
	d := good.push(1, 256*kib)
	no := errors.New("no such blob here")
	bad.set(func() { bad.refuse = no })

	if _, how, err := w.fetch(bad, d); !errors.Is(err, no) || how != blobcache.Miss {
		t.Errorf("a refused transfer: %s, %v", how, err)
	}
	w.settled(d)

	hold := make(chan struct{})
	good.set(func() { good.hold = hold })
	blob, _, err := w.Join(t.Context(), d, good.source(d))
	if err != nil {
		t.Fatal(err)
	}
	if _, how, err := w.fetch(bad, d); !errors.Is(err, no) || how != blobcache.Joined {
		t.Errorf("joining without leave: %s, %v", how, err)
	}
	close(hold)
	if body, err := all(t.Context(), blob); err != nil || digest.FromBytes(body) != d {
		t.Errorf("the one who had leave: %d bytes, %v", len(body), err)
	}
	if err := blob.Close(); err != nil {
		t.Error(err)
	}
	w.settled(d)
	if _, how, err := w.fetch(bad, d); !errors.Is(err, no) || how != blobcache.Hit {
		t.Errorf("held, without leave: %s, %v", how, err)
	}
	if fetches, _ := bad.asked(); fetches != 1 {
		t.Errorf("the bad one was asked for %d transfers", fetches)
	}
}

// Whoever comes when a transfer has just ended, or was just given up, gets the blob all
// the same.
func TestTransfersThatEndMeanwhile(t *testing.T) {
	w := open(t, t.TempDir())
	from := newRepository("a")
	var blobs []digest.Digest
	for i := range 4 {
		blobs = append(blobs, from.push(i, 2*kib))
	}
	var clients sync.WaitGroup
	for client := range 8 {
		clients.Go(func() {
			for i := range 60 {
				d := blobs[(client+i)%len(blobs)]
				if client == 0 {
					w.Cache.PurgeDigest(d) // it is a race on purpose: those who read may lose what they read
					continue
				}
				body, _, err := w.fetch(from, d)
				if err != nil && !errors.Is(err, context.Canceled) || err == nil && digest.FromBytes(body) != d {
					t.Errorf("%d bytes, %v", len(body), err)
				}
			}
		})
	}
	clients.Wait()
	for _, d := range blobs {
		w.settled(d)
		if w.fetched(from, d); !w.holds(d) {
			t.Errorf("%s is not held", d)
		}
	}
}

// After wrong bytes a source is left alone for a growing while: a second at first, a
// minute at most. Nobody else's source is.
func TestWrongBytesAreRemembered(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := open(t, dir)
		defer w.stop()
		wrong, right := newRepository("wrong"), newRepository("right")
		d, other := wrong.push(1, 256*kib), wrong.push(2, 2*kib)
		right.push(1, 256*kib)
		wrong.set(func() { wrong.wrong = true })

		for i, pause := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			body, _, err := w.fetch(wrong, d)
			if mismatch, ok := errors.AsType[*fill.MismatchError](err); !ok || mismatch.Want != d || len(body) > 256*kib-64*kib {
				t.Fatalf("%d wrong bytes, %v", len(body), err)
			}
			synctest.Wait()
			time.Sleep(pause*time.Second - time.Millisecond)
			if _, _, err := w.fetch(wrong, d); !mismatched(err) {
				t.Errorf("within the pause: %v", err)
			}
			if fetches, _ := wrong.asked(); fetches != i+1 {
				t.Fatalf("%d transfers, want %d: within %d s it was asked again", fetches, i+1, pause)
			}
			time.Sleep(time.Millisecond)
		}
		if _, _, err := w.fetch(wrong, d); !mismatched(err) {
			t.Error(err)
		}
		synctest.Wait()
		if w.Held(d) || w.Stats().Disk.Bytes != 0 || w.events.told("fill mismatch") != 9 {
			t.Errorf("held %t, %d bytes on disk, %v", w.Held(d), w.Stats().Disk.Bytes, w.events.said)
		}
		// Another blob of that source is its own affair, and another source of that blob.
		if _, _, err := w.fetch(wrong, other); !mismatched(err) {
			t.Error(err)
		}
		if how := w.fetchedNow(right, d); how != blobcache.Miss || !w.holds(d) {
			t.Errorf("from the right source: %s", how)
		}
		// Once the pause is over it is asked again, and believed.
		if _, err := w.PurgeDigest(d); err != nil {
			t.Fatal(err)
		}
		wrong.set(func() { wrong.wrong = false })
		if _, _, err := w.fetch(wrong, d); !mismatched(err) {
			t.Errorf("within the pause: %v", err)
		}
		time.Sleep(time.Minute)
		if how := w.fetchedNow(wrong, d); how != blobcache.Miss || !w.holds(d) {
			t.Errorf("after the pause: %s", how)
		}
	})
}

// fetchedNow is fetched within a bubble.
func (w *world) fetchedNow(from *repository, d digest.Digest) blobcache.How {
	w.Helper()
	body, how, err := w.fetch(from, d)
	if err != nil || digest.FromBytes(body) != d {
		w.Fatalf("%s: %d bytes, %v", d, len(body), err)
	}
	synctest.Wait()
	return how
}

func mismatched(err error) bool {
	_, ok := errors.AsType[*fill.MismatchError](err)
	return ok
}

// Nobody who joins a transfer of wrong bytes gets all of them, whatever part he asks
// for as verified.
func TestAHerdOnWrongBytes(t *testing.T) {
	w := open(t, t.TempDir())
	from := newRepository("a")
	d := from.push(1, mib)
	hold := make(chan struct{})
	from.set(func() { from.wrong, from.hold = true, hold })
	var joined, read sync.WaitGroup
	joined.Add(20)
	for range 20 {
		read.Go(func() {
			blob, _, err := w.Join(t.Context(), d, from.source(d))
			joined.Done()
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = blob.Close() }()
			if body, err := all(t.Context(), blob); !mismatched(err) || len(body) > mib-64*kib {
				t.Errorf("%d bytes, %v", len(body), err)
			}
		})
	}
	joined.Wait()
	close(hold)
	read.Wait()
	w.settled(d)
	if w.wantFiles(0); w.Held(d) {
		t.Error("it is held")
	}
}

// A client that leaves ends neither the transfer of others nor, for a while, one that
// nobody waits for; after that it is given up and leaves nothing.
func TestLeavers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := open(t, dir)
		defer w.stop()
		from := newRepository("a")
		d := from.push(1, mib)
		hold := make(chan struct{})
		from.set(func() { from.hold = hold })
		ctx, leave := context.WithCancel(t.Context())
		blob, _, err := w.Join(ctx, d, from.source(d))
		if err != nil {
			t.Fatal(err)
		}
		section := blob.Section(ctx, 0, -1, true)
		if _, err := io.CopyN(io.Discard, section, 1000); err != nil {
			t.Fatal(err)
		}
		leave()
		if _, err := io.Copy(io.Discard, section); !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
		if err := errors.Join(section.Close(), blob.Close()); err != nil {
			t.Error(err)
		}
		time.Sleep(25 * time.Second)
		if !w.Filling(d) {
			t.Fatal("it was given up at once")
		}
		again, how, err := w.Join(t.Context(), d, from.source(d))
		if err != nil || how != blobcache.Joined {
			t.Fatalf("who came again: %s, %v", how, err)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if fetches, _ := from.asked(); w.Filling(d) || fetches != 1 || w.Stats().Disk.Bytes != 0 {
			t.Errorf("filling %t, %d transfers, %+v", w.Filling(d), fetches, w.Stats().Disk)
		}
		close(hold)
		w.fetchedNow(from, d)
	})
}
