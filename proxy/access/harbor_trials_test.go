package access

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/harbortest"
)

func TestTrialsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trials := newTrials()
		var (
			all                 sync.WaitGroup
			now, most, tooMany  atomic.Int64
			ofOne, tooManyOfOne atomic.Int64
		)
		try := func(from netip.Prefix, ofOneNow, refused *atomic.Int64) {
			all.Go(func() {
				leave, err := trials.enter(t.Context(), from)
				if err == errTooManyTrials {
					refused.Add(1)
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				most.Store(max(most.Load(), now.Add(1)))
				if ofOneNow != nil && ofOneNow.Add(1) > mostTrialsOfNeighbourhood {
					t.Error("one neighbourhood has more than its share")
				}
				time.Sleep(time.Second)
				if ofOneNow != nil {
					ofOneNow.Add(-1)
				}
				now.Add(-1)
				leave()
			})
		}
		one := neighbourhood(netip.MustParseAddr("2001:db8::1"))
		for range mostTrialsWaitingOfOne + 10 {
			try(one, &ofOne, &tooManyOfOne)
		}
		synctest.Wait()
		if now.Load() != mostTrialsOfNeighbourhood || tooManyOfOne.Load() != 10 {
			t.Errorf("%d are asked about, %d turned away", now.Load(), tooManyOfOne.Load())
		}
		// The others wait for no more than its share.
		for i := range mostTrialsWaiting {
			try(neighbourhood(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})), nil, &tooMany)
		}
		synctest.Wait()
		if now.Load() != mostTrials || tooMany.Load() != mostTrialsWaitingOfOne {
			t.Errorf("%d are asked about, %d turned away", now.Load(), tooMany.Load())
		}
		all.Wait()
		if most.Load() != mostTrials || trials.inside.all != 0 || len(trials.inside.of) > 0 || len(trials.ofNeighbourhood.of) > 0 {
			t.Errorf("%d at once; left are %v", most.Load(), trials.inside.of)
		}
	})
}

func TestTrialGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trials := newTrials()
		var leaves []func()
		for i := range mostTrials {
			leave, err := trials.enter(t.Context(), neighbourhood(netip.AddrFrom4([4]byte{192, 0, 2, byte(i / mostTrialsOfNeighbourhood)})))
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, from := range []string{"192.0.2.0", "198.51.100.1"} { // waits for its neighbourhood's turn, for everybody's
			if _, err := trials.enter(ctx, neighbourhood(netip.MustParseAddr(from))); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want what ended the context", err)
			}
		}
		for _, leave := range leaves {
			leave()
		}
		if trials.inside.all != 0 || len(trials.inside.of) > 0 || len(trials.ofNeighbourhood.of) > 0 || !trials.all.TryAcquire(mostTrials) {
			t.Errorf("left are %v", trials.inside.of)
		}
	})
}

// Thousands of guesses at names that nobody has cost Harbor a bounded number of
// questions at once, and keep out nobody from elsewhere.
func TestHarborFlood(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.want("ok", w.right("alice", "team-a/app"))
		w.AddAccount(harbortest.Account{Name: "robot$new", Password: harbortest.Password("robot$new"), Pull: []string{"team-a"}})
		w.asked()
		var flood sync.WaitGroup
		for i := range 3000 {
			flood.Go(func() {
				ctx, cancel := context.WithTimeout(w.Context(), 12*time.Second)
				defer cancel()
				got := word(w.answer(ctx, fmt.Sprintf("203.0.113.%d", i%3), fmt.Sprint("guess", i), "a guess", "team-a/app"))
				if got != "bad_credentials" && got != "busy" && got != "unverifiable" {
					w.Errorf("a guess: %s", got)
				}
			})
		}
		synctest.Wait()
		if got := len(w.asked()); got != 3*mostTrialsOfNeighbourhood {
			w.Errorf("Harbor is asked about %d at once, want %d", got, 3*mostTrialsOfNeighbourhood)
		}
		began := time.Now()
		w.want("ok", w.right("alice", "team-a/app"))
		w.want("not_granted", w.right("alice", "team-b/secret"))
		w.want("ok", w.come("198.51.100.1", "robot$new", harbortest.Password("robot$new"), "team-a/app"))
		if took := time.Since(began); took > 0 {
			w.Errorf("others waited for %s", took)
		}
		flood.Wait()
	})
}

// One client's many accounts, as after a restart of a whole cluster behind one address,
// wait for each other.
func TestHarborManyAccountsOfOneAddress(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.AddFault(harbortest.Fault{Match: harbortest.Tokens, Delay: 20 * time.Millisecond})
		for i := range mostTrialsWaitingOfOne {
			w.AddAccount(harbortest.Account{Name: fmt.Sprint("robot$", i), Password: harbortest.Password(fmt.Sprint("robot$", i)), Pull: []string{"team-a"}})
		}
		began := time.Now()
		together(mostTrialsWaitingOfOne, func(i int) { w.want("ok", w.right(fmt.Sprint("robot$", i), "team-a/app")) })
		if took, want := time.Since(began), 20*time.Millisecond*mostTrialsWaitingOfOne/mostTrialsOfNeighbourhood; took != want {
			w.Errorf("took %s, want %s", took, want)
		}
	})
}
