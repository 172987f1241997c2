package fill_test

import (
	"context"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"breakwater/blobcache/fill"
)

// A hundred clients, whole bodies and leavers, are one request upstream, and nobody
// waits for the end.
func TestOneTransferForEverybody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(64 * mib)
		up.rate = 16 * mib
		w := newWorld(t, up)
		from := up.source("a")
		w.begin(from)
		var clients sync.WaitGroup
		for i := range 100 {
			clients.Go(func() {
				time.Sleep(time.Duration(i) * 20 * time.Millisecond)
				r := w.join(from)
				defer r.Close()
				n := int64(-1)
				if i%5 != 0 { // leaves
					n = int64(i) * 150_000
				}
				o := w.read(r, 0, n, true)
				if n < 0 {
					n = r.Size()
				}
				w.right(o, n)
				if n > 0 && o.first > 100*time.Millisecond {
					t.Errorf("client %d: first byte after %v", i, o.first)
				}
			})
		}
		clients.Wait()
		w.finish(fill.ResultStored)
		if up.bytesSent() != 64*mib || w.received() != 64*mib || len(up.saw()) != 1 {
			t.Errorf("upstream sent %d bytes, %d received, in %v", up.bytesSent(), w.received(), up.saw())
		}
		if w.count("joined") != 99 || w.count("segment") != 0 {
			t.Errorf("events %v", w.events)
		}
	})
}

// Sizes round the withheld tail and round a chunk.
func TestSizes(t *testing.T) {
	for _, size := range []int{0, 1, 64*kib - 1, 64 * kib, 64*kib + 1, 128 * kib, 128*kib + 1, 300_000} {
		for _, known := range []bool{true, false} {
			bubble(t, func(t *testing.T) {
				up := newUpstream(size)
				up.rate = 100 * kib
				if !known {
					up.plan = unknown
				}
				w := newWorld(t, up)
				w.begin(up.source("a"))
				r := w.join(up.source("a"))
				if want := map[bool]int64{true: int64(size), false: -1}[known]; r.Size() != want && size > 0 {
					t.Errorf("size %d, want %d", r.Size(), want)
				}
				var clients sync.WaitGroup
				clients.Go(func() { w.whole(r) })
				clients.Go(func() { w.right(w.read(r, 0, -1, false), int64(size)) })
				clients.Go(func() { w.right(w.read(r, int64(size), -1, false), 0) })
				clients.Go(func() { w.right(w.read(r, int64(size)/2, 10, false), min(10, int64(size)-int64(size)/2)) })
				clients.Wait()
				if r.Size() != int64(size) {
					t.Errorf("in the end the size is %d", r.Size())
				}
				w.whole(r)
				r.Close()
				w.finish(fill.ResultStored)
				if len(up.saw()) != 1 {
					t.Errorf("size %d, known %v: requests %v", size, known, up.saw())
				}
			})
		}
	}
}

func unknown(int, int64, int64) plan { return plan{size: func(int64) int64 { return -1 }} }

// The tail comes when the digest was right, not before; the rest as it comes.
func TestWithheldTail(t *testing.T) {
	for _, planned := range []func(int, int64, int64) plan{nil, unknown} {
		bubble(t, func(t *testing.T) {
			up := newUpstream(1000 * kib)
			up.rate, up.plan = 100*kib, planned
			w := newWorld(t, up)
			w.begin(up.source("a"))
			r := w.join(up.source("a"))
			section := r.Section(t.Context(), 0, -1, true)
			begin := time.Now()
			got := 0
			for buffer := make([]byte, 10*kib); ; {
				n, err := section.Read(buffer)
				if got += n; err != nil {
					break
				}
				if arrived := int(time.Since(begin).Seconds() * float64(up.rate)); got > 936*kib && time.Since(begin) < 10*time.Second ||
					arrived-got > 64*kib+128*kib { // a chunk is on its way
					t.Fatalf("%d bytes after %v", got, time.Since(begin))
				}
			}
			if got != len(up.content) {
				t.Errorf("%d bytes", got)
			}
			section.Close()
			r.Close()
			w.finish(fill.ResultStored)
		})
	}
}

// The last bytes do not wait for the disk, and the order of the end is kept.
func TestOrderOfTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(200 * kib)
		w := newWorld(t, up)
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		w.whole(r)
		r.Close()
		w.finish(fill.ResultStored)
		if want := []string{"result stored", "ended"}; !reflect.DeepEqual(w.order, want) {
			t.Errorf("events %v, want %v", w.order, want)
		}
		if _, err := w.fill.Join(t.Context(), up.source("a")); err != fill.ErrEnded {
			t.Errorf("too late: %v, want ErrEnded", err)
		}
	})
}

// slowCommit is a file that takes its time.
type slowCommit struct {
	*file
	time.Duration
}

func (s slowCommit) Commit() error {
	time.Sleep(s.Duration)
	return s.file.Commit()
}

// Nobody waits for fsync, and who joins meanwhile is served from the file.
func TestJoinedWhileItIsStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(300 * kib)
		w := newWorld(t, up)
		begin := time.Now()
		o := w.options()
		o.Create = func(int64) (fill.File, error) { return slowCommit{w.file, time.Minute}, nil }
		w.fill = fill.New(w.life, o, up.source("a"))
		for range 3 {
			r := w.join(up.source("a"))
			w.whole(r)
			r.Close()
			time.Sleep(15 * time.Second)
		}
		if took := time.Since(begin); took != 45*time.Second {
			t.Errorf("the readers took %v", took)
		}
		w.finish(fill.ResultStored)
		if len(up.saw()) != 1 {
			t.Errorf("requests %v", up.saw())
		}
	})
}

// Random sections of a blob that comes, with and without Read's help.
func TestSectionsAnywhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(3*mib + 12345)
		up.rate = mib
		w := newWorld(t, up)
		w.begin(up.source("a"))
		var clients sync.WaitGroup
		random := rand.New(rand.NewPCG(1, 2))
		for i := range 200 {
			offset := random.Int64N(int64(len(up.content)))
			n := random.Int64N(int64(len(up.content)))
			clients.Go(func() {
				r := w.join(up.source("a"))
				defer r.Close()
				w.right(w.read(r, offset, n, i%2 == 0), min(n, int64(len(up.content))-offset))
			})
		}
		clients.Wait()
		w.finish(fill.ResultStored)
		if len(up.saw()) != 1 {
			t.Errorf("requests %v", up.saw())
		}
	})
}

// A section ends with its context, the fill does not.
func TestSectionEndsWithItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		up.rate = 10 * kib
		w := newWorld(t, up)
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		section := r.Section(ctx, 900*kib, -1, false)
		begin := time.Now()
		if n, err := section.Read(make([]byte, 10)); n != 0 || err != context.DeadlineExceeded || time.Since(begin) != 5*time.Second {
			t.Errorf("%d bytes, %v after %v", n, err, time.Since(begin))
		}
		w.whole(r)
		r.Close()
		w.finish(fill.ResultStored)
	})
}
