package access

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func limitedGate(l Limits) (*Gate, *counted) {
	events := newCounted()
	return New(Options{Listener: "test", Mode: NewAnonymous(nil), Allow: Everything(), Limits: l, Events: events}), events
}

func clientAt(address, subject string) Client {
	return Client{Subject: subject, Address: netip.MustParseAddr(address)}
}

// expectIdle tells whether nothing is kept of whoever was there.
func (g *Gate) expectIdle(t *testing.T) {
	t.Helper()
	l := g.limits
	if s, a, c, o := len(l.subjects.of), len(l.addresses.of), len(l.connections.of.of), len(l.connections.open); s+a+c+o > 0 {
		t.Errorf("%d subjects, %d addresses, and %d addresses with %d connections are kept", s, a, c, o)
	}
}

// entering waits for its turn in the background; entered tells whether it came.
type entering struct {
	leave func()
	err   error
	done  chan struct{}
}

func enter(ctx context.Context, g *Gate, client Client) *entering {
	e := &entering{done: make(chan struct{})}
	go func() {
		e.leave, e.err = g.Enter(ctx, client)
		close(e.done)
	}()
	return e
}

// entered must be called in a bubble.
func (e *entering) entered() bool {
	synctest.Wait()
	select {
	case <-e.done:
		return e.err == nil
	default:
		return false
	}
}

// Whose limit is reached waits; everybody else does not.
func TestWhoWaitsForWhom(t *testing.T) {
	for name, test := range map[string]struct {
		limits        Limits
		first, second Client
		waits         bool
	}{
		"an address":               {Limits{AddressPulls: 1, SubjectPulls: 9}, clientAt("192.0.2.1", ""), clientAt("192.0.2.1", ""), true},
		"whoever is there":         {Limits{AddressPulls: 1, SubjectPulls: 9}, clientAt("192.0.2.1", "alice"), clientAt("192.0.2.1", "bob"), true},
		"another address":          {Limits{AddressPulls: 1, SubjectPulls: 9}, clientAt("192.0.2.1", "alice"), clientAt("192.0.2.2", "alice"), false},
		"the same /64":             {Limits{AddressPulls: 1, SubjectPulls: 9}, clientAt("2001:db8::1", ""), clientAt("2001:db8::ffff:1", ""), true},
		"another /64":              {Limits{AddressPulls: 1, SubjectPulls: 9}, clientAt("2001:db8::1", ""), clientAt("2001:db8:0:1::1", ""), false},
		"a subject":                {Limits{AddressPulls: 9, SubjectPulls: 1}, clientAt("192.0.2.1", "alice"), clientAt("192.0.2.1", "alice"), true},
		"a subject, wherever":      {Limits{AddressPulls: 9, SubjectPulls: 1}, clientAt("192.0.2.1", "alice"), clientAt("2001:db8::1", "alice"), true},
		"another subject":          {Limits{AddressPulls: 9, SubjectPulls: 1}, clientAt("192.0.2.1", "alice"), clientAt("192.0.2.1", "bob"), false},
		"nobody is not one person": {Limits{AddressPulls: 9, SubjectPulls: 1}, clientAt("192.0.2.1", ""), clientAt("192.0.2.1", ""), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, events := limitedGate(test.limits)
				first := enter(t.Context(), g, test.first)
				if !first.entered() {
					t.Fatal("the first waits")
				}
				second := enter(t.Context(), g, test.second)
				if second.entered() == test.waits {
					t.Errorf("the second waits: %v, want %v", !test.waits, test.waits)
				}
				first.leave()
				if !second.entered() {
					t.Fatal("the second still waits although the first has left")
				}
				second.leave()
				g.expectIdle(t)
				if len(events.refused) > 0 {
					t.Errorf("%v were refused", events.refused)
				}
			})
		})
	}
}

func TestTurnsAreInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := limitedGate(Limits{AddressPulls: 2, SubjectPulls: 9})
		var all []*entering
		for range 10 {
			all = append(all, enter(t.Context(), g, clientAt("192.0.2.1", "alice")))
			synctest.Wait()
		}
		for i, e := range all {
			if !e.entered() {
				t.Fatalf("request %d waits although all before have left", i)
			}
			if i+2 < len(all) && all[i+2].entered() {
				t.Errorf("request %d has its turn while two before it are under way", i+2)
			}
			e.leave()
		}
		g.expectIdle(t)
	})
}

// Whoever waits longer than it may is told to come later, and leaves nothing behind.
func TestWaitingEnds(t *testing.T) {
	for name, limits := range map[string]Limits{
		"for the address": {AddressPulls: 1, SubjectPulls: 3},
		"for the subject": {AddressPulls: 9, SubjectPulls: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, events := limitedGate(limits)
				alice := clientAt("192.0.2.1", "alice")
				first := enter(t.Context(), g, alice)
				if !first.entered() {
					t.Fatal("the first waits")
				}
				patience, cancel := context.WithTimeout(t.Context(), 12*time.Second)
				defer cancel()
				for range 2 {
					began := time.Now()
					leave, err := g.Enter(patience, alice)
					refusal, ok := err.(*Refusal)
					if leave != nil || !ok || refusal.Why != TooManyAtOnce || refusal.Answer.Status != http.StatusServiceUnavailable || refusal.Answer.RetryAfter != 5 {
						t.Fatalf("%v, want a 503 to come again in 5 s", err)
					}
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("the log is not told that it waited: %v", err)
					}
					if waited := time.Since(began); waited > 12*time.Second {
						t.Errorf("it waited for %v", waited)
					}
				}
				if got := events.of(TooManyAtOnce); got != 2 {
					t.Errorf("%d were counted, want 2", got)
				}
				first.leave()
				g.expectIdle(t)
			})
		})
	}
}

// One in the middle of the queue who gives up is passed over.
func TestWhoGivesUpIsPassedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := limitedGate(Limits{AddressPulls: 1, SubjectPulls: 9})
		alice := clientAt("192.0.2.1", "alice")
		ctx, cancel := context.WithCancel(t.Context())
		first := enter(t.Context(), g, alice)
		first.entered()
		second := enter(ctx, g, alice)
		second.entered()
		third := enter(t.Context(), g, alice)
		third.entered()
		cancel()
		if second.entered() {
			t.Error("the second got in")
		}
		first.leave()
		if !third.entered() {
			t.Fatal("the third waits for one who is gone")
		}
		third.leave()
		g.expectIdle(t)
	})
}

// alice has more to ask than she may: bob, at her address, does not wait for her.
func TestWaitingSubjectHoldsNoShareOfItsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := limitedGate(Limits{AddressPulls: 3, SubjectPulls: 2})
		var alices []*entering
		for range 100 {
			alices = append(alices, enter(t.Context(), g, clientAt("192.0.2.1", "alice")))
			synctest.Wait()
		}
		bob := enter(t.Context(), g, clientAt("192.0.2.1", "bob"))
		if !bob.entered() {
			t.Fatal("bob waits although one of three places is free")
		}
		bob.leave()
		for _, alice := range alices {
			if !alice.entered() {
				t.Fatal("alice waits for nobody")
			}
			alice.leave()
		}
		g.expectIdle(t)
	})
}

// Many at once, some impatient: never more than may, nobody waits for ever, and
// nothing is kept of them.
func TestLimitsUnderLoad(t *testing.T) {
	limits := Limits{AddressPulls: 5, SubjectPulls: 3}
	g, events := limitedGate(limits)
	var under [4][4]atomic.Int64 // by address and subject; subject 0 is nobody
	var refused atomic.Int64
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			for range 20 {
				a, s := rand.IntN(4), rand.IntN(4)
				client := clientAt(fmt.Sprint("192.0.2.", a), []string{"", "alice", "bob", "carol"}[s])
				ctx, end := context.WithCancelCause(t.Context())
				cancel := func() { end(context.Canceled) }
				switch i % 3 { // some leave, of some the time is over
				case 0:
					go cancel()
				case 1:
					go end(context.DeadlineExceeded)
				}
				leave, err := g.Enter(ctx, client)
				if err != nil {
					if _, ok := errors.AsType[*Refusal](err); ok {
						refused.Add(1)
					}
					cancel()
					continue
				}
				under[a][s].Add(1)
				var here, everywhere int64
				for other := range 4 {
					here += under[a][other].Load()
					everywhere += under[other][s].Load()
				}
				if here > int64(limits.AddressPulls) || s > 0 && everywhere > int64(limits.SubjectPulls) {
					t.Errorf("%d of one address, %d of one subject are under way", here, everywhere)
				}
				under[a][s].Add(-1)
				leave()
				cancel()
			}
		})
	}
	all.Wait()
	if got := events.of(TooManyAtOnce); int64(got) != refused.Load() {
		t.Errorf("%d refusals were counted, want %d", got, refused.Load())
	}
	g.expectIdle(t)
}
