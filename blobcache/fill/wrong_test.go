package fill_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/blobcache/fill"
)

// Whatever is wrong with the bytes: no client gets a complete body, nothing is kept,
// and the owner hears of it before it is asked for the blob again.
func TestWrongBytes(t *testing.T) {
	const size = 500_000
	at := func(wrong int) func([]byte) []byte {
		return func(b []byte) []byte { b[wrong] ^= 1; return b }
	}
	for name, change := range map[string]func([]byte) []byte{
		"at the beginning": at(0),
		"in the middle":    at(size / 2),
		"in the tail":      at(size - 1),
		"too long":         func(b []byte) []byte { return append(b, 0) },
	} {
		for _, announced := range []bool{true, false} {
			t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					up := newUpstream(size)
					wrong := change(slices.Clone(up.content))
					up.rate = size
					up.plan = func(int, int64, int64) plan {
						p := plan{content: wrong}
						if !announced {
							p.size = func(int64) int64 { return -1 }
						}
						return p
					}
					w := newWorld(t, up)
					w.begin(up.source("a"))
					var clients sync.WaitGroup
					for range 5 {
						clients.Go(func() {
							r := w.join(up.source("a"))
							defer r.Close()
							o := w.read(r, 0, -1, true)
							w.incomplete(o, len(wrong))
							mismatch, ok := errors.AsType[*fill.MismatchError](o.err)
							if !ok || mismatch.Want != up.digest() {
								t.Errorf("error %v, want a mismatch", o.err)
							}
						})
					}
					clients.Wait()
					w.finish(fill.ResultMismatch)
				})
			})
		}
	}
}

// Of a small blob nothing at all comes before it was verified.
func TestWrongSmallBlob(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(50_000)
		wrong := slices.Clone(up.content)
		wrong[49_999]++
		up.rate = 50_000
		up.plan = func(int, int64, int64) plan { return plan{content: wrong} }
		w := newWorld(t, up)
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		if o := w.read(r, 0, -1, true); o.n != 0 || o.err == nil {
			t.Errorf("%d bytes, %v", o.n, o.err)
		}
		r.Close()
		w.finish(fill.ResultMismatch)
	})
}

// The empty blob has a digest, too.
func TestWrongEmptyBlob(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(10)
		up.plan = func(int, int64, int64) plan {
			return plan{content: []byte{}, size: func(int64) int64 { return 0 }, stall: time.Second}
		}
		w := newWorld(t, up)
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		w.incomplete(w.read(r, 0, -1, true), 0)
		r.Close()
		w.finish(fill.ResultMismatch)
	})
}
