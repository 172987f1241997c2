package disk

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// A thousand blobs go through room for a hundred, while slow readers pin some. After
// each step files, arrived bytes and what is still read stay within the budget, and
// every reader gets its bytes.
func TestBudgetIsKept(t *testing.T) {
	const size, room = 8192, 100 * 8192
	w := newWorld(t, budget(room))
	random := rand.New(rand.NewPCG(1, 2))
	type reader struct {
		*Blob
		seed uint64
	}
	var readers []reader
	// Digests that begin alike: few folders, since each step looks into all of them.
	var seeds []uint64
	for seed := uint64(0); len(seeds) < 1000; seed++ {
		if sum(content(seed, size)).Encoded()[0] == '0' {
			seeds = append(seeds, seed)
		}
	}
	for n, i := range seeds {
		p, err := w.Create(sum(content(i, size)), size)
		must(t, err)
		for at := int64(0); at < size; at += size / 4 {
			_, err := p.WriteAt(content(i, size)[at:at+size/4], at)
			must(t, err)
			if got := w.Stats().Bytes; got > room {
				t.Fatalf("blob %d: %d bytes counted, budget %d", i, got, room)
			}
		}
		if got := onDisk(t, w.dir); got > room+4096 {
			t.Fatalf("blob %d: %d bytes on disk, budget %d", i, got, room)
		}
		must(t, p.Commit())
		must(t, p.Close())
		w.wantSound()
		if n%3 == 0 { // a slow reader of something recent
			seed := seeds[n-random.IntN(min(n+1, 50))]
			b, err := w.Store.Open(t.Context(), sum(content(seed, size)))
			if err == nil {
				readers = append(readers, reader{b, seed})
			}
		}
		if len(readers) > 40 {
			n := random.IntN(len(readers))
			r := readers[n]
			got, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
			if err != nil || string(got) != string(content(r.seed, size)) {
				t.Fatalf("reader of %d: wrong bytes, %v", r.seed, err)
			}
			must(t, r.Close())
			readers = append(readers[:n], readers[n+1:]...)
		}
	}
	distinct := map[uint64]bool{}
	for _, r := range readers {
		distinct[r.seed] = true
	}
	st := w.Stats()
	if st.Objects != 100 || st.Pinned != len(distinct) || st.Bytes != room || st.Budget != room || st.Promised != 0 {
		t.Errorf("in the end: %+v, %d readers", st, len(readers))
	}
	if got := w.events.of(w.events.evicted, "size"); got != 900 {
		t.Errorf("%d evicted by size, want 900", got)
	}
	if _, ok := w.Has(sum(content(seeds[999], size))); !ok {
		t.Error("the newest blob was evicted")
	}
	for _, r := range readers {
		must(t, r.Close())
	}
	w.wantSound()
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	w := newWorld(t, budget(4*4096))
	var d [6]string
	blobs := make([][]byte, 6)
	for i := range blobs {
		blobs[i] = content(uint64(i), 4096)
		d[i] = sum(blobs[i]).String()
	}
	for _, b := range blobs[:4] {
		w.put(b)
	}
	w.Touch(sum(blobs[0]))
	w.wantHeld(sum(blobs[1]), blobs[1])
	w.put(blobs[4])
	w.put(blobs[5])
	for i, want := range []bool{true, true, false, false, true, true} {
		if _, got := w.Has(sum(blobs[i])); got != want {
			t.Errorf("blob %d is held: %t, want %t", i, got, want)
		}
	}
	var order []string
	w.All(func(got digest.Digest, size int64, _ time.Time) bool {
		order = append(order, got.String())
		return size == 4096
	})
	if want := []string{d[0], d[1], d[4], d[5]}; !slices.Equal(order, want) {
		t.Errorf("oldest first: %v, want %v", order, want)
	}
}

// The rules of promises.
func TestNoRoom(t *testing.T) {
	const room = 10 * 4096
	some := sum([]byte("some"))
	for _, c := range []struct {
		name   string
		before func(*world)
		size   int64
		want   error
	}{
		{"all of the budget", func(*world) {}, room, nil},
		{"one byte more", func(*world) {}, room + 1, ErrNoRoom},
		{"a length that overflows", func(*world) {}, 1<<63 - 1, ErrNoRoom},
		{"idle content makes room", func(w *world) { w.put(content(1, room)) }, room, nil},
		{"pinned content does not", func(w *world) {
			d := w.put(content(1, 4096))
			b, err := w.Store.Open(w.t.Context(), d)
			must(w.t, err)
			w.t.Cleanup(func() { must(w.t, b.Close()) })
		}, room, ErrNoRoom},
		{"nor content that was removed and is read", func(w *world) {
			d := w.put(content(1, 4096))
			b, err := w.Store.Open(w.t.Context(), d)
			must(w.t, err)
			w.t.Cleanup(func() { must(w.t, b.Close()) })
			if !w.Remove(d) {
				w.t.Fatal("nothing to remove")
			}
		}, room, ErrNoRoom},
		{"nor what another fill was promised", func(w *world) {
			p, err := w.Create(sum([]byte("other")), 4096)
			must(w.t, err)
			w.t.Cleanup(func() { must(w.t, p.Close()) })
		}, room, ErrNoRoom},
		{"beside another fill", func(w *world) {
			p, err := w.Create(sum([]byte("other")), 4096)
			must(w.t, err)
			w.t.Cleanup(func() { must(w.t, p.Close()) })
		}, room - 4096, nil},
		{"after another fill was given up", func(w *world) {
			p, err := w.Create(sum([]byte("other")), room)
			must(w.t, err)
			_, err = p.WriteAt(content(1, 5000), 4000)
			must(w.t, err)
			must(w.t, p.Discard())
			must(w.t, p.Close())
		}, room, nil},
		{"being filled", func(w *world) {
			p, err := w.Create(some, 10)
			must(w.t, err)
			w.t.Cleanup(func() { must(w.t, p.Close()) })
		}, 10, ErrExists},
		{"present", func(w *world) { w.put([]byte("some")) }, 4, ErrExists},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, budget(room))
			w.t = t
			c.before(w)
			p, err := w.Create(some, c.size)
			if !errors.Is(err, c.want) {
				t.Fatalf("Create: %v, want %v", err, c.want)
			}
			if err == nil {
				must(t, p.Close())
			}
			w.wantSound()
		})
	}
}

// Of a blob of unknown length the first bytes come in, until the budget is reached;
// they stay readable, and go with Discard.
func TestUnknownLengthBeyondBudget(t *testing.T) {
	const room = 16 * 4096
	w := newWorld(t, budget(room))
	p, err := w.Create(sum([]byte("endless")), -1)
	must(t, err)
	chunk := content(7, 3000)
	var at int64
	for {
		n, err := p.WriteAt(chunk, at)
		if err != nil {
			if !errors.Is(err, ErrNoRoom) || n != 0 {
				t.Fatalf("WriteAt: %d, %v", n, err)
			}
			break
		}
		at += int64(n)
	}
	if at < room-3000 || at > room {
		t.Errorf("%d bytes came in, budget %d", at, room)
	}
	got := make([]byte, 3000)
	if _, err := p.ReadAt(got, at-3000); err != nil || string(got) != string(chunk) {
		t.Errorf("what came in does not read back: %v", err)
	}
	must(t, p.Discard())
	must(t, p.Close())
	if st := w.Stats(); st.Bytes != 0 || st.Promised != 0 || onDisk(t, w.dir) != 0 {
		t.Errorf("after Discard: %+v, %d on disk", st, onDisk(t, w.dir))
	}
}

// A reader that pins after the promise was given makes the write fail, not the reader.
func TestPromiseBrokenByReaders(t *testing.T) {
	w := newWorld(t, budget(4*4096))
	old := w.put(content(1, 3*4096))
	p, err := w.Create(sum([]byte("new")), 4*4096)
	must(t, err)
	defer func() { must(t, p.Close()) }()
	b, err := w.Store.Open(t.Context(), old)
	must(t, err)
	_, err = p.WriteAt(make([]byte, 4096), 0)
	must(t, err)
	if _, err := p.WriteAt(make([]byte, 4096), 4096); !errors.Is(err, ErrNoRoom) {
		t.Fatalf("with all else pinned: %v", err)
	}
	must(t, b.Close())
	_, err = p.WriteAt(make([]byte, 4096), 4096)
	must(t, err)
	w.wantAbsent(old)
	w.wantSound()
}

// Blocks count once, however often and in whatever order bytes are written.
func TestSparseBytesAreCountedInBlocks(t *testing.T) {
	w := newWorld(t, nil)
	const size = 20 * 4096
	b := content(3, size)
	p, err := w.Create(sum(b), size)
	must(t, err)
	random := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		at := random.IntN(size - 1)
		end := at + 1 + random.IntN(min(9000, size-at))
		_, err := p.WriteAt(b[at:end], int64(at))
		must(t, err)
		if got, disk := w.Stats().Bytes, onDisk(t, w.dir); disk > got || got > size {
			t.Fatalf("%d counted, %d on disk, size %d", got, disk, size)
		}
	}
	_, err = p.WriteAt(b, 0)
	must(t, err)
	if got := w.Stats().Bytes; got != size {
		t.Errorf("%d counted, want %d", got, size)
	}
	if _, err := p.WriteAt([]byte{1}, size); err == nil || errors.Is(err, ErrNoRoom) {
		t.Errorf("a byte after the promised size: %v", err)
	}
	must(t, p.Commit())
	must(t, p.Close())
	w.wantHeld(sum(b), b)
	w.wantSound()
}
