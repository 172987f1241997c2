package fill_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"breakwater/blobcache/fill"
)

var errDisk = errors.New("input/output error")

// No room for it at all: the transfer that was begun goes to a reader, and nobody is
// failed.
func TestNoFile(t *testing.T) {
	for _, test := range []struct {
		err    error
		reason string
	}{{fmt.Errorf("create: %w", errNoRoom), "room"}, {errDisk, "disk"}} {
		for _, planned := range []func(int, int64, int64) plan{nil, unknown} {
			bubble(t, func(t *testing.T) {
				up := newUpstream(mib)
				up.rate, up.plan = 200*kib, planned
				w := newWorld(t, up)
				w.noDir = test.err
				w.begin(up.source("a"))
				r := w.join(up.source("a"))
				w.whole(r)
				if len(up.saw()) != 1 {
					t.Errorf("requests %v", up.saw())
				}
				w.whole(r)
				w.right(w.read(r, 600*kib, 50*kib, false), 50*kib)
				w.right(w.read(r, 600*kib, 50*kib, true), 50*kib)
				w.right(w.read(r, 1000*kib, -1, false), 24*kib)
				r.Close()
				w.finish(fill.ResultBypassed)
				if w.count("bypassed "+test.reason) != 1 {
					t.Errorf("events %v", w.order)
				}
			})
		}
	}
}

// The transfer that was begun is closed when nobody can go on with it.
func TestSpareIsNotKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		w := newWorld(t, up)
		w.noDir = errDisk
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		w.right(w.read(r, 1000, 100, false), 100)
		if up.opened() != 1 {
			t.Errorf("%d bodies are open", up.opened())
		}
		time.Sleep(11 * time.Second)
		if up.opened() != 0 {
			t.Errorf("%d bodies are open", up.opened())
		}
		w.whole(r)
		if want := []string{"a 0+-1", "a 1000+100", "a 0+-1"}; !reflect.DeepEqual(up.saw(), want) {
			t.Errorf("requests %v, want %v", up.saw(), want)
		}
		r.Close()
		w.finish(fill.ResultBypassed)
	})
}

// The disk becomes full at a random point: each reader has what is in the file, goes
// on by itself, and still gets a verified whole or an error.
func TestDiskFullInMidFill(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for i := range 40 {
		room := random.Int64N(mib)
		if i < 5 { // in the tail, and right before the end
			room = mib - int64(i)*30_000 - 1
		}
		bubble(t, func(t *testing.T) {
			up := newUpstream(mib)
			up.rate = mib
			up.noRanges = i%4 == 1
			if i%3 == 1 {
				up.plan = unknown
			}
			right := up.content
			if i%5 == 4 { // wrong bytes come after the disk has failed
				wrong := slices.Clone(right)
				wrong[mib-1]++
				up.plan = func(int, int64, int64) plan { return plan{content: wrong} }
			}
			w := newWorld(t, up)
			w.file.room = room
			w.begin(up.source("a"))
			var clients sync.WaitGroup
			for j := range 6 {
				clients.Go(func() {
					time.Sleep(time.Duration(j) * 200 * time.Millisecond)
					r, err := w.fill.Join(t.Context(), up.source("a"))
					if err == fill.ErrEnded && j > 0 {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					defer r.Close()
					switch o := w.read(r, int64(j)*100_000, -1, j%3 == 0); {
					case i%5 != 4:
						w.right(o, mib-int64(j)*100_000)
					case j == 0:
						w.incomplete(o, mib)
					}
				})
			}
			clients.Wait()
			w.finish(fill.ResultBypassed)
			if w.count("bypassed room") != 1 {
				t.Errorf("events %v", w.order)
			}
		})
	}
}

// One reader, a disk that becomes full: upstream is asked once, each byte comes once.
func TestDiskFullCostsNoByte(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		up.rate = mib
		w := newWorld(t, up)
		w.file.room = 500_000
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		w.whole(r)
		r.Close()
		w.finish(fill.ResultBypassed)
		if len(up.saw()) != 1 || up.bytesSent() != mib {
			t.Errorf("requests %v, %d bytes", up.saw(), up.bytesSent())
		}
	})
}

// The disk becomes full while segments are there or come.
func TestDiskFullWithSegments(t *testing.T) {
	for _, room := range []int64{3 * near, 6 * near, 20 * near} {
		bubble(t, func(t *testing.T) {
			up := newUpstream(48 * near)
			up.rate = 2 * near
			w := newWorld(t, up)
			w.file.room = room
			w.beginNear(up.source("a"))
			r := w.join(up.source("a"))
			var clients sync.WaitGroup
			clients.Go(func() { w.right(w.read(r, 45*near, -1, false), 3*near) })
			clients.Go(func() { w.right(w.read(r, 45*near, -1, true), 3*near) })
			clients.Go(func() { w.whole(r) })
			clients.Wait()
			r.Close()
			w.finish(fill.ResultBypassed)
		})
	}
}

// A disk that cannot be read fails nobody either.
func TestUnreadableFile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		up.rate = mib
		w := newWorld(t, up)
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		time.Sleep(300 * time.Millisecond)
		w.file.mu.Lock()
		w.file.broken = errDisk
		w.file.mu.Unlock()
		w.whole(r)
		w.right(w.read(r, 500, 1000, false), 1000)
		r.Close()
		w.finish(fill.ResultStored)
		if w.count("bypassed disk") != 1 {
			t.Errorf("events %v", w.order)
		}
	})
}

// A blob that cannot be stored was served all the same.
func TestCommitFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		w := newWorld(t, up)
		w.file.commitErr = errDisk
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		w.whole(r)
		r.Close()
		w.finish(fill.ResultBypassed)
		if w.count("bypassed disk") != 1 || len(up.saw()) != 1 {
			t.Errorf("events %v, requests %v", w.order, up.saw())
		}
	})
}
