package fill_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"breakwater/blobcache/fill"
)

// A small range at the end of a slow cold blob is answered long before the main
// stream would get there.
func TestTailIsAnsweredEarly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(64*mib + 1000)
		up.rate = 2 * mib
		w := newWorld(t, up)
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		begin := time.Now()
		w.right(w.read(r, 64*mib-5000, -1, false), 6000)
		if took := time.Since(begin); took > 4*time.Second {
			t.Errorf("took %v", took)
		}
		w.whole(r)
		r.Close()
		w.finish(fill.ResultStored)
		if up.bytesSent() != 64*mib+1000 {
			t.Errorf("%d bytes sent", up.bytesSent())
		}
	})
}

// Sixteen readers with open-ended ranges, each of which reads its part and leaves:
// hardly a byte comes twice, whatever upstream's rate.
func TestSixteenOpenEnded(t *testing.T) {
	for _, rate := range []int{0, 4 * mib, 64 * mib} {
		bubble(t, func(t *testing.T) {
			up := newUpstream(64 * mib)
			up.rate = rate
			w := newWorld(t, up)
			w.begin(up.source("a"))
			var clients sync.WaitGroup
			for i := range int64(16) {
				clients.Go(func() {
					r := w.join(up.source("a"))
					defer r.Close()
					section := r.Section(t.Context(), i*4*mib, -1, false)
					defer section.Close()
					got := 0
					for buffer := make([]byte, 256*kib); got < 4*mib; {
						n, err := section.Read(buffer)
						at := int(i)*4*mib + got
						if err != nil || string(buffer[:n]) != string(up.content[at:at+n]) {
							t.Errorf("reader %d: after %d bytes: wrong, or %v", i, got, err)
							return
						}
						got += n
					}
				})
			}
			clients.Wait()
			w.finish(fill.ResultStored)
			if limit := int64(64 * mib * 102 / 100); up.bytesSent() > limit {
				t.Errorf("%d bytes sent, want at most %d", up.bytesSent(), limit)
			}
			if segments := w.count("segment"); segments > 0 != (rate == 4*mib) {
				t.Errorf("%d segments at %d bytes a second", segments, rate)
			}
		})
	}
}

// Four segments at a time, and one for all who want it.
func TestFourAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(96 * mib)
		up.rate = mib
		w := newWorld(t, up)
		w.begin(up.source("a"))
		most := 0
		var clients sync.WaitGroup
		for i := range int64(20) {
			clients.Go(func() {
				r := w.join(up.source("a"))
				defer r.Close()
				w.right(w.read(r, 60*mib+i*mib, 100, false), 100)
			})
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for sleep(ctx, 100*time.Millisecond) == nil {
				up.mu.Lock()
				most = max(most, up.open)
				up.mu.Unlock()
			}
		}()
		clients.Wait()
		time.Sleep(5 * time.Second) // the last readers do not need all of theirs
		cancel()
		if w.count("segment") != 5 || most != 5 {
			t.Errorf("%d segments, %d bodies at a time", w.count("segment"), most)
		}
		w.end()
		w.finish(fill.ResultAbandoned)
	})
}

// Upstream ignores ranges: after one try it is asked for none, and the tail's reader
// waits like everybody.
func TestNoSegmentsWithoutRanges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(48 * mib)
		up.rate, up.noRanges = 2*mib, true
		w := newWorld(t, up)
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		w.right(w.read(r, 48*mib-100, -1, false), 100)
		w.whole(r)
		r.Close()
		w.finish(fill.ResultStored)
		if len(up.saw()) != 2 || up.bytesSent() != 48*mib {
			t.Errorf("requests %v, %d bytes sent", up.saw(), up.bytesSent())
		}
	})
}

// A segment that fails, is refused, or breaks again and again is nobody's failure: the
// main stream brings its bytes.
func TestSegmentFails(t *testing.T) {
	for name, p := range map[string]plan{
		"refused": {err: &fill.Refusal{Err: errDenied}},
		"down":    {err: errCut},
		"cut":     {cut: 1000},
		"stalls":  {cut: 1000, stall: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				up := newUpstream(40 * mib)
				up.rate = 2 * mib
				segments := 0
				up.plan = func(_ int, offset, n int64) plan {
					if offset > 0 && n > 0 {
						if segments++; segments < 20 {
							return p
						}
					}
					return plan{}
				}
				w := newWorld(t, up)
				w.begin(up.source("a"))
				var clients sync.WaitGroup
				r := w.join(up.source("a"))
				clients.Go(func() { w.right(w.read(r, 39*mib, -1, false), mib) })
				clients.Go(func() { w.whole(r) })
				clients.Wait()
				r.Close()
				w.finish(fill.ResultStored)
				if up.bytesSent() != 40*mib {
					t.Errorf("%d bytes sent", up.bytesSent())
				}
			})
		})
	}
}
