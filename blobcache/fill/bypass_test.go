package fill_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"breakwater/blobcache/fill"
)

// Past the cache the promises are the same: resumed, verified, the tail withheld.
func TestBypass(t *testing.T) {
	for _, noRanges := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			up := newUpstream(mib)
			up.noRanges = noRanges
			up.plan = func(request int, _, _ int64) plan {
				return plan{cut: int64(request+1) * 200_000}
			}
			w := newWorld(t, up)
			r, err := fill.Bypass(t.Context(), up.digest(), up.source("a"), w)
			if err != nil {
				t.Fatal(err)
			}
			if r.Size() != mib {
				t.Errorf("size %d", r.Size())
			}
			w.whole(r)
			r.Close()
			r.Close()
			if up.opened() != 0 || w.received() != up.bytesSent() || w.count("resumed") == 0 || len(w.order) != w.count("resumed") {
				t.Errorf("%d bodies open, %d bytes received, %d sent, events %v", up.opened(), w.received(), up.bytesSent(), w.order)
			}
		})
	}
}

func TestBypassOfWrongBytes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		wrong := slices.Clone(up.content)
		wrong[mib-1]++
		up.plan = func(int, int64, int64) plan { return plan{content: wrong} }
		w := newWorld(t, up)
		r, err := fill.Bypass(t.Context(), up.digest(), up.source("a"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		o := w.read(r, 0, -1, true)
		w.incomplete(o, mib)
		if _, ok := errors.AsType[*fill.MismatchError](o.err); !ok {
			t.Errorf("error %v", o.err)
		}
	})
}

func TestBypassRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		a := up.source("a")
		a.refuse = errDenied
		if _, err := fill.Bypass(t.Context(), up.digest(), a, nil); err != errDenied {
			t.Errorf("error %v", err)
		}
	})
}

// Whoever waits for headers past the cache can leave.
func TestBypassIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		up.plan = func(int, int64, int64) plan { return plan{wait: time.Hour} }
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := fill.Bypass(ctx, up.digest(), up.source("a"), nil); err != context.DeadlineExceeded {
			t.Errorf("error %v", err)
		}
	})
}
