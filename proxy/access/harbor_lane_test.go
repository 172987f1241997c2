package access

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/harbortest"
)

// Who was accepted lately goes first, the others in order; nobody shares a turn.
func TestLaneOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lanes := newLanes()
		leave := mustEnter(t, lanes, "alice", false)
		var (
			order []string
			all   sync.WaitGroup
		)
		for _, who := range []struct {
			name  string
			known bool
		}{{"first", false}, {"second", false}, {"known", true}, {"third", false}, {"known too", true}} {
			all.Go(func() {
				leave := mustEnter(t, lanes, "alice", who.known)
				order = append(order, who.name)
				time.Sleep(time.Second)
				leave()
			})
			synctest.Wait()
		}
		mustEnter(t, lanes, "bob", false)() // has a lane of his own
		began := time.Now()
		leave()
		all.Wait()
		if want := []string{"known", "known too", "first", "second", "third"}; !slices.Equal(order, want) {
			t.Errorf("turns went to %q, want %q", order, want)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("five turns of a second took %s", took)
		}
		if len(lanes.of) > 0 {
			t.Errorf("%d lanes are left", len(lanes.of))
		}
	})
}

func TestLaneIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lanes := newLanes()
		leave := mustEnter(t, lanes, "alice", false)
		var all sync.WaitGroup
		wait := func(known bool) {
			all.Go(func() { mustEnter(t, lanes, "alice", known)() })
			synctest.Wait()
		}
		for range mostInLane {
			wait(false)
		}
		if _, err := lanes.enter(t.Context(), "alice", somewhereElse(), false); err != errLaneFull {
			t.Errorf("%v, want that the lane is full", err)
		}
		wait(true)
		mustEnter(t, lanes, "bob", false)()
		leave()
		all.Wait()
		mustEnter(t, lanes, "alice", false)()
	})
}

// Who gives up leaves the turn to the others, also if it came that very moment.
func TestLaneGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 200 {
			lanes := newLanes()
			leave := mustEnter(t, lanes, "alice", false)
			var all sync.WaitGroup
			for range mostInLane {
				ctx, cancel := context.WithCancel(t.Context())
				for _, known := range []bool{false, true} {
					all.Go(func() {
						leave, err := lanes.enter(ctx, "alice", somewhereElse(), known)
						if err == nil {
							leave()
						} else if !errors.Is(err, context.Canceled) {
							t.Error(err)
						}
					})
				}
				synctest.Wait()
				all.Go(cancel)
			}
			leave()
			all.Wait()
			if len(lanes.of) > 0 {
				t.Fatal("a turn is lost")
			}
		}
	})
}

func mustEnter(t *testing.T, l *lanes, name string, known bool) (leave func()) {
	t.Helper()
	leave, err := l.enter(t.Context(), name, somewhereElse(), known)
	if err != nil {
		t.Error(err)
		return func() {}
	}
	return leave
}

// Behind a wrong password of a user the lane rests: Harbor may refuse the right one yet.
func TestHarborLaneRests(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		w.want("bad_credentials", w.come(somewhere, "alice", "a guess", ""))
		began := time.Now()
		together(2, func(int) { w.want("ok", w.right("alice", "team-a/app")) })
		if took := time.Since(began); took != laneRest {
			w.Errorf("the next login of that name took %s, want %s", took, laneRest)
		}
		began = time.Now()
		w.want("ok", w.right("alice", "library/base"))
		w.want("ok", w.right("bob", "library/base"))
		if took := time.Since(began); took > 0 {
			w.Errorf("after a right one, and of another name, %s", took)
		}
	})
}

// What was found out while a login waited counts.
func TestHarborMeanwhile(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		projects := []string{"team-a/app", "team-b/app", "library/app"}
		// A new login for many projects waits for one question, and is no crowd that others
		// wait behind.
		many := []string{"a/a", "b/b", "c/c", "d/d", "e/e", "f/f", "g/g", "h/h", "i/i", "j/j"}
		w.AddFault(harbortest.Fault{Match: about("alice"), Times: 1, Delay: time.Second})
		var all sync.WaitGroup
		for _, repository := range many {
			all.Go(func() { w.want("not_granted", w.right("alice", repository)) })
		}
		synctest.Wait()
		began := time.Now()
		w.want("ok", w.right(harbortest.Puller, "team-a/app"))
		if took := time.Since(began); took > 0 {
			w.Errorf("another login waited for %s", took)
		}
		w.wantAsked("alice 1", "robot$team-a+puller 1")
		all.Wait()
		if calls := w.asked(); len(calls) != len(many)-1 {
			w.Errorf("Harbor was asked about %q", calls)
		}
		// One that is not right any more is found out once.
		w.SetPassword("alice", "another one")
		time.Sleep(acceptedLoginMemory)
		together(len(projects), func(i int) { w.want("bad_credentials", w.right("alice", projects[i])) })
		w.wantAsked("alice 1", "alice 0", "robot$everything 0", "alice 1", "alice 0", "robot$everything 0")
		// Guesses at once are counted one after the other.
		fail(w.mode.attempts, netip.MustParseAddr(somewhere), "bob", freeAttempts-1)
		came := make([]string, 1+mostInLane)
		together(len(came), func(i int) { came[i] = w.come(somewhere, "bob", fmt.Sprint("a guess ", i), "") })
		slices.Sort(came)
		if want := []string{"bad_credentials", "bad_credentials", "busy", "busy", "busy"}; !slices.Equal(came, want) {
			w.Errorf("guesses came to %q, want %q", came, want)
		}
	})
}

// Who is slowed down does not wait to be told so.
func TestHarborSlowsDownAtOnce(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		var guess sync.WaitGroup
		guess.Go(func() { w.want("bad_credentials", w.come("198.51.100.1", "alice", "a guess", "")) })
		synctest.Wait()
		fail(w.mode.attempts, netip.MustParseAddr(somewhere), "alice", 20)
		began := time.Now()
		w.want("slowed_down", w.come(somewhere, "alice", "another guess", ""))
		if took := time.Since(began); took > 0 {
			w.Errorf("told after %s", took)
		}
		guess.Wait()
	})
}

// The right password forgets the wrong ones.
func TestHarborForgetsWrongPasswords(t *testing.T) {
	inHarborWorld(t, func(w *harborWorld) {
		for range 2 {
			fail(w.mode.attempts, netip.MustParseAddr(somewhere), harbortest.Puller, freeAttempts-1)
			w.want("ok", w.right(harbortest.Puller, ""))
			w.mode.known.entries.Purge()
		}
	})
}

// somewhereElse is a neighbourhood of its own each time.
func somewhereElse() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(rand.IntN(256)), byte(rand.IntN(256)), byte(rand.IntN(256))}), 32)
}

// Who guesses from one address holds one place in the line, whatever comes after.
func TestLaneIsSharedByNeighbourhoods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lanes, here, there := newLanes(), somewhereElse(), somewhereElse()
		leave := mustEnter(t, lanes, "alice", false)
		var all sync.WaitGroup
		wait := func(from netip.Prefix) {
			all.Go(func() {
				leave, err := lanes.enter(t.Context(), "alice", from, false)
				if err != nil {
					t.Error(err)
					return
				}
				leave()
			})
			synctest.Wait()
		}
		wait(here)
		if _, err := lanes.enter(t.Context(), "alice", here, false); err != errLaneFull {
			t.Errorf("a second guess from there: %v", err)
		}
		wait(there)
		leave()
		all.Wait()
	})
}
