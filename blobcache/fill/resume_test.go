package fill_test

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/blobcache/fill"
)

// cuts ends bodies at random points, thirty times in all, some of them after a stall
// and some without an error.
func cuts(blob int64, times int) func(int, int64, int64) plan {
	random := rand.New(rand.NewPCG(3, 4))
	return func(request int, offset, _ int64) plan {
		if request >= times {
			return plan{}
		}
		p := plan{cut: 1 + random.Int64N(2*blob/int64(times)), clean: request%3 == 1}
		if request%3 == 2 {
			p.stall = 20 * time.Second
		}
		return p
	}
}

// Upstream cut at thirty points: one unbroken right body for everybody, and no byte
// is sent twice.
func TestCutsAndStalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(8 * mib)
		up.rate, up.plan = 4*mib, cuts(8*mib, 30)
		w := newWorld(t, up)
		w.begin(up.source("a"))
		var clients sync.WaitGroup
		for i := range 10 {
			clients.Go(func() {
				r := w.join(up.source("a"))
				defer r.Close()
				w.right(w.read(r, int64(i)*mib/2, -1, i == 0), 8*mib-int64(i)*mib/2)
			})
		}
		clients.Wait()
		w.finish(fill.ResultStored)
		if up.bytesSent() != 8*mib || w.count("resumed") != len(up.saw())-1 || w.count("resumed") < 15 {
			t.Errorf("%d bytes sent, %d resumed, in %d requests", up.bytesSent(), w.count("resumed"), len(up.saw()))
		}
	})
}

// Without ranges the blob is read once more, compared, and gone on with.
func TestResumeWithoutRanges(t *testing.T) {
	for _, planned := range []func(int, int64, int64) plan{
		func(request int, _, _ int64) plan { return plan{cut: int64(request+1) * 300_000} },
		func(request int, _, _ int64) plan {
			return plan{cut: int64(request+1) * 300_000, size: func(int64) int64 { return -1 }}
		},
	} {
		bubble(t, func(t *testing.T) {
			up := newUpstream(mib)
			up.noRanges, up.plan = true, planned
			w := newWorld(t, up)
			w.begin(up.source("a"))
			r := w.join(up.source("a"))
			w.whole(r)
			r.Close()
			w.finish(fill.ResultStored)
			// After the first answer from 0 ranges are asked for no more.
			if want := []string{"a 0+-1", "a 300000+-1", "a 0+-1", "a 0+-1"}; !reflect.DeepEqual(up.saw(), want) {
				t.Errorf("requests %v, want %v", up.saw(), want)
			}
			if w.count("segment") != 0 || w.count("resumed") != 3 {
				t.Errorf("events %v", w.events)
			}
		})
	}
}

// An upstream whose second reading is another blob than the first: a mismatch.
func TestAnotherBlobTheSecondTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		other := newUpstream(mib).content
		other[77]++
		up.noRanges = true
		up.plan = func(request int, _, _ int64) plan {
			if request == 0 {
				return plan{cut: 300_000}
			}
			return plan{content: other, wait: time.Second}
		}
		w := newWorld(t, up)
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		o := w.read(r, 0, -1, true)
		w.incomplete(o, mib)
		if _, ok := errors.AsType[*fill.MismatchError](o.err); !ok || o.wrong {
			t.Errorf("wrong: %v, %v; want a mismatch before a wrong byte", o.wrong, o.err)
		}
		r.Close()
		w.finish(fill.ResultMismatch)
	})
}

// The end of a blob of unknown size may be lost after its last byte.
func TestOnlyTheEndIsLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		up.plan = func(_ int, offset, _ int64) plan {
			if offset > 0 {
				return plan{err: errors.New("416")}
			}
			return plan{size: func(int64) int64 { return -1 }, content: append(up.content[:mib:mib], 0), cut: mib}
		}
		w := newWorld(t, up)
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		w.whole(r)
		r.Close()
		w.finish(fill.ResultStored)
		if len(up.saw()) != 1 {
			t.Errorf("requests %v", up.saw())
		}
	})
}

// The size that was not known at first comes with the answer to a range.
func TestSizeIsLearnedLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(mib)
		up.rate = 100 * kib
		up.plan = func(request int, _, _ int64) plan {
			if request == 0 {
				return plan{size: func(int64) int64 { return -1 }, cut: 500 * kib}
			}
			return plan{}
		}
		w := newWorld(t, up)
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		if r.Size() != -1 {
			t.Errorf("size %d", r.Size())
		}
		w.right(w.read(r, 600*kib, 100*kib, false), 100*kib)
		if r.Size() != mib {
			t.Errorf("size %d", r.Size())
		}
		w.whole(r)
		r.Close()
		w.finish(fill.ResultStored)
	})
}

// Answers that are about another part, or another blob, are faults, which are tried
// again seven times without a byte between them.
func TestFaultsThatStay(t *testing.T) {
	later := func(p plan) func(int, int64, int64) plan {
		return func(request int, _, _ int64) plan {
			if request == 0 {
				return plan{cut: 200_000}
			}
			return p
		}
	}
	for name, test := range map[string]struct {
		planned func(int, int64, int64) plan
		says    string
	}{
		"down from the beginning": {func(int, int64, int64) plan { return plan{err: errCut} }, "connection reset"},
		"down in the middle":      {later(plan{err: errCut}), "connection reset"},
		"no byte any more":        {later(plan{content: []byte{}}), "unexpected EOF"},
		"other size":              {later(plan{size: func(n int64) int64 { return n + 1 }}), "size changed"},
		"other offset":            {later(plan{offset: func(n int64) int64 { return n + 1 }}), "asked for the bytes from 200000 on"},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				up := newUpstream(mib)
				up.plan = test.planned
				w := newWorld(t, up)
				begin := time.Now()
				w.begin(up.source("a"))
				r, err := w.fill.Join(t.Context(), up.source("a"))
				if err == nil {
					err = w.read(r, 0, -1, true).err
					r.Close()
				}
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("error %v, want one with %q", err, test.says)
				}
				if took := time.Since(begin); took != 15400*time.Millisecond {
					t.Errorf("given up after %v", took)
				}
				w.finish(fill.ResultFailed)
			})
		})
	}
}

// A fault that passes is not seen, and any byte begins the count of attempts anew.
func TestFaultsThatPass(t *testing.T) {
	bubble(t, func(t *testing.T) {
		up := newUpstream(10_000)
		up.plan = func(request int, _, _ int64) plan {
			if request%7 != 6 {
				return plan{err: errCut}
			}
			return plan{cut: 1000}
		}
		w := newWorld(t, up)
		w.begin(up.source("a"))
		r := w.join(up.source("a"))
		w.whole(r)
		r.Close()
		w.finish(fill.ResultStored)
		if len(up.saw()) != 70 {
			t.Errorf("%d requests", len(up.saw()))
		}
	})
}
