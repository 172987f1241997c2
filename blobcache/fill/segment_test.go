package fill_test

import (
	"context"
	"reflect"
	"sync"
	"testing"
	"time"

	"breakwater/blobcache/fill"
)

// near is what a MiB is in a world that is begun near: see Options.Smaller.
const near = mib / 64

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
		if want := []string{"a 0+-1", "a 62914560+4194304", "a 67108864+-1"}; up.bytesSent() != 64*mib+1000 || !reflect.DeepEqual(up.saw(), want) {
			t.Errorf("%d bytes sent, requests %v, want %v", up.bytesSent(), up.saw(), want)
		}
	})
}

// Sixteen readers with open-ended ranges, each of which reads its part and leaves:
// no byte comes twice, whatever upstream's rate.
func TestSixteenOpenEnded(t *testing.T) {
	for _, rate := range []int{4 * mib, 64 * mib} {
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
			if up.bytesSent() != 64*mib {
				t.Errorf("%d bytes sent", up.bytesSent())
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
		up := newUpstream(96 * near)
		up.rate = near
		w := newWorld(t, up)
		w.beginNear(up.source("a"))
		most := 0
		var clients sync.WaitGroup
		for i := range int64(20) {
			clients.Go(func() {
				r := w.join(up.source("a"))
				defer r.Close()
				w.right(w.read(r, 60*near+i*near, 100, false), 100)
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

// The main stream goes round a segment that is still on its way, and does not do its
// work.
func TestGoesRoundASegment(t *testing.T) {
	requests := []string{"a 0+-1", "a 589824+65536", "a 655360+-1"}
	for _, test := range []struct {
		segment plan
		want    []string
	}{
		{plan{wait: time.Minute}, requests},
		{plan{cut: 1000, stall: time.Minute}, append(requests[:3:3], "a 590824+64536")},
	} {
		bubble(t, func(t *testing.T) {
			up := newUpstream(48 * near)
			up.rate = 2 * near
			up.plan = func(request int, _, _ int64) plan {
				if request == 1 {
					return test.segment
				}
				return plan{}
			}
			w := newWorld(t, up)
			w.beginNear(up.source("a"))
			r := w.join(up.source("a"))
			var clients sync.WaitGroup
			clients.Go(func() { w.right(w.read(r, 36*near+2000, 100, false), 100) })
			clients.Go(func() { w.whole(r) })
			clients.Wait()
			r.Close()
			w.finish(fill.ResultStored)
			if up.bytesSent() != 48*near || !reflect.DeepEqual(up.saw(), test.want) {
				t.Errorf("%d bytes sent, requests %v, want %v", up.bytesSent(), up.saw(), test.want)
			}
		})
	}
}

// Upstream ignores ranges: after one try it is asked for none, and the tail's reader
// waits like everybody.
func TestNoSegmentsWithoutRanges(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(48 * near)
		up.rate, up.noRanges = 2*near, true
		w := newWorld(t, up)
		w.beginNear(up.source("a"))
		r := w.join(up.source("a"))
		w.right(w.read(r, 48*near-100, -1, false), 100)
		w.whole(r)
		r.Close()
		w.finish(fill.ResultStored)
		if len(up.saw()) != 2 || up.bytesSent() != 48*near {
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
				up := newUpstream(40 * near)
				up.rate = 2 * near
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
				w.beginNear(up.source("a"))
				var clients sync.WaitGroup
				r := w.join(up.source("a"))
				clients.Go(func() { w.right(w.read(r, 39*near, -1, false), near) })
				clients.Go(func() { w.whole(r) })
				clients.Wait()
				r.Close()
				w.finish(fill.ResultStored)
				if up.bytesSent() != 40*near {
					t.Errorf("%d bytes sent", up.bytesSent())
				}
			})
		})
	}
}
