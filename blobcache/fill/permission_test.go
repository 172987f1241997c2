package fill_test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/blobcache/fill"
)

var (
	errDenied  = errors.New("denied")
	errTimeout = errors.New("timeout")
)

// Who comes with another key is asked for once, before a byte is given out.
func TestEachKeyIsProvenOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		up.rate = 100 * kib
		w := newWorld(t, up)
		w.begin(up.source("a"))
		a, b, c := up.source("a"), up.source("b"), up.source("c")
		b.prove = func(ctx context.Context) error { return sleep(ctx, time.Second) }
		c.prove = func(ctx context.Context) error { _ = sleep(ctx, time.Second); return errDenied }
		var clients sync.WaitGroup
		for range 5 {
			for _, from := range []*source{a, b, c} {
				clients.Go(func() {
					r, err := w.fill.Join(t.Context(), from)
					if from == c {
						if err != errDenied {
							t.Errorf("joined although denied: %v", err)
						}
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					defer r.Close()
					w.whole(r)
				})
			}
		}
		clients.Wait()
		w.finish(fill.ResultStored)
		if *a.proofs != 0 || *b.proofs != 1 || *c.proofs != 1 {
			t.Errorf("asked a %d, b %d, c %d times", *a.proofs, *b.proofs, *c.proofs)
		}
		if want := []string{"a 0+-1"}; !reflect.DeepEqual(up.saw(), want) {
			t.Errorf("requests %v", up.saw())
		}
	})
}

// The one who asks may leave; another one who waits asks then.
func TestAskerLeaves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		up.rate = 100 * kib
		w := newWorld(t, up)
		w.begin(up.source("a"))
		starter := w.join(up.source("a"))
		b := up.source("b")
		b.prove = func(ctx context.Context) error { return sleep(ctx, 2*time.Second) }
		var clients sync.WaitGroup
		clients.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := w.fill.Join(ctx, b); err != context.DeadlineExceeded {
				t.Errorf("error %v", err)
			}
		})
		synctest.Wait()
		clients.Go(func() {
			r := w.join(b)
			w.whole(r)
			r.Close()
		})
		clients.Wait()
		starter.Close()
		w.finish(fill.ResultStored)
		if *b.proofs != 2 {
			t.Errorf("asked %d times", *b.proofs)
		}
	})
}

// Whoever began gets upstream's refusal, however quick it was; and so does whoever
// waited with the same key.
func TestFirstSourceRefuses(t *testing.T) {
	for _, late := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			up := newUpstream(mib)
			a := up.source("a")
			a.refuse = errDenied
			w := newWorld(t, up)
			w.begin(a)
			if late {
				synctest.Wait()
			}
			if _, err := w.fill.Join(t.Context(), a); err != errDenied {
				t.Errorf("error %v", err)
			}
			if late { // a moment earlier it could still ask anew
				if _, err := w.fill.Join(t.Context(), a); err != fill.ErrEnded {
					t.Errorf("who comes too late: %v", err)
				}
			}
			w.finish(fill.ResultRefused)
			if len(up.saw()) != 1 || *a.proofs != 0 {
				t.Errorf("requests %v, %d proofs", up.saw(), *a.proofs)
			}
		})
	}
}

// A refusal in mid-fill fails only readers of that key; the fill goes on with the
// other source.
func TestRefusedInMidFill(t *testing.T) {
	for _, second := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			up := newUpstream(mib)
			up.rate = 100 * kib
			a, b := up.source("a"), up.source("b")
			up.plan = func(request int, _, _ int64) plan {
				switch request {
				case 0:
					return plan{cut: 300 * kib}
				case 1: // b's turn
					if !second {
						return plan{err: &fill.Refusal{Err: errDenied}}
					}
					return plan{cut: 100 * kib}
				case 2: // a's
					return plan{err: &fill.Refusal{Err: errDenied}}
				}
				return plan{}
			}
			w := newWorld(t, up)
			w.begin(a)
			ra := w.join(a)
			var clients sync.WaitGroup
			clients.Go(func() {
				o := w.read(ra, 0, -1, true)
				w.incomplete(o, mib)
				if want := map[bool]int64{true: 400 * kib, false: 300 * kib}[second]; o.n != want || o.err != errDenied || o.wrong {
					t.Errorf("a's reader got %d bytes, want %d, and %v", o.n, want, o.err)
				}
				ra.Close()
			})
			if second {
				rb := w.join(b)
				clients.Go(func() {
					w.whole(rb)
					rb.Close()
				})
			}
			clients.Wait()
			w.finish(map[bool]string{true: fill.ResultStored, false: fill.ResultRefused}[second])
			if want := []string{"a 0+-1", "b 307200+-1", "a 409600+-1", "b 409600+-1"}; second && !reflect.DeepEqual(up.saw(), want) {
				t.Errorf("requests %v", up.saw())
			}
		})
	}
}

// A source that is down gives its turn to one that is not; its readers stay.
func TestSourcesTakeTurns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		up.rate = 100 * kib
		healthy := newUpstream(mib)
		healthy.rate = 100 * kib
		up.plan = func(request int, _, _ int64) plan {
			if request == 0 {
				return plan{cut: 300 * kib}
			}
			return plan{err: errTimeout}
		}
		w := newWorld(t, up)
		w.begin(up.source("a"))
		ra, rb := w.join(up.source("a")), w.join(healthy.source("b"))
		var clients sync.WaitGroup
		clients.Go(func() { w.whole(ra); ra.Close() })
		clients.Go(func() { w.whole(rb); rb.Close() })
		clients.Wait()
		w.finish(fill.ResultStored)
		if up.bytesSent()+healthy.bytesSent() != mib {
			t.Errorf("%d and %d bytes sent", up.bytesSent(), healthy.bytesSent())
		}
	})
}

// The first source hangs; one who joins with another is served, and a reader of the
// first is then asked for like anybody.
func TestFirstSourceHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		up.plan = func(request int, _, _ int64) plan {
			if request == 0 {
				return plan{wait: 10 * time.Second, err: errTimeout}
			}
			return plan{}
		}
		w := newWorld(t, up)
		a, b := up.source("a"), up.source("b")
		w.begin(a)
		var clients sync.WaitGroup
		for _, from := range []*source{a, b} {
			clients.Go(func() {
				r := w.join(from)
				w.whole(r)
				r.Close()
			})
		}
		clients.Wait()
		w.finish(fill.ResultStored)
		if want := []string{"a 0+-1", "b 0+-1"}; !reflect.DeepEqual(up.saw(), want) || *a.proofs != 1 || *b.proofs != 1 {
			t.Errorf("requests %v, proofs %d and %d", up.saw(), *a.proofs, *b.proofs)
		}
	})
}
