package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// aHash is how long a hash takes in these tests, on the bubble's clock.
const aHash = 50 * time.Millisecond

// A flood is many requests that are authenticated at the same time.
type flood struct {
	wait sync.WaitGroup

	mu   sync.Mutex // guards came
	came map[string]int
}

func (f *flood) send(p *Password, r *http.Request) {
	f.wait.Go(func() {
		what := came(p.Authenticate(context.Background(), r))
		f.mu.Lock()
		defer f.mu.Unlock()
		f.came[what]++
	})
}

// Whatever one address sends at once, few hashes are made of it, and others wait for
// no more than these.
func TestParallelWrongPasswords(t *testing.T) {
	const requests = 10_000
	for _, test := range []struct {
		name   string
		guess  func(i int) (username, password string)
		hashes int64
		came   map[string]int
	}{
		{"for one user", func(i int) (string, string) { return "alice", fmt.Sprint("guess", i) },
			1, map[string]int{"bad_credentials": 1, "busy": requests - 1}},
		{"for many users", func(i int) (string, string) { return fmt.Sprint("user", i), "guess" },
			mostOfNeighbourhood, map[string]int{"bad_credentials": mostOfNeighbourhood, "busy": requests - mostOfNeighbourhood}},
		{"the same again and again", func(int) (string, string) { return "alice", "guess" },
			1, map[string]int{"bad_credentials": requests}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, world := newTestPassword(t, line("alice", "right")+line("bob", "right"))
				expect(t, p, "192.0.2.1", "alice", "right", "alice")
				world.takes = aHash
				world.hashes.Store(0)

				begun := time.Now()
				f := flood{came: make(map[string]int)}
				for i := range requests {
					username, password := test.guess(i)
					f.send(p, request("192.0.2.1", username, password))
				}
				synctest.Wait()
				expect(t, p, "192.0.2.1", "alice", "right", "alice")
				if waited := time.Since(begun); waited != 0 {
					t.Errorf("a remembered login waited %v", waited)
				}
				expect(t, p, "192.0.2.2", "alice", "right", "alice") // remembered wherever it comes from
				expect(t, p, "192.0.2.2", "bob", "right", "bob")
				if waited := time.Since(begun); waited > (mostOfNeighbourhood+1)*aHash {
					t.Errorf("a new login from another address waited %v", waited)
				}
				f.wait.Wait()

				world.expectHashes(t, test.hashes+1) // and bob's
				if fmt.Sprint(f.came) != fmt.Sprint(test.came) {
					t.Errorf("they came to %v, want %v", f.came, test.came)
				}
				expectEmpty(t, p)
			})
		})
	}
}

// Who keeps guessing, as fast as answers come, is slowed down all the same.
func TestGuessingOnAndOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, world := newTestPassword(t, line("alice", "right"))
		world.takes = aHash
		until := time.Now().Add(20 * time.Minute)
		var guessers sync.WaitGroup
		for i := range 5 {
			guessers.Go(func() {
				for n := 0; time.Now().Before(until); n++ {
					_, err := p.Authenticate(context.Background(), request("192.0.2.1", "alice", fmt.Sprint(i, "/", n)))
					if err == nil {
						t.Error("a guess was let in")
					}
					time.Sleep(time.Second)
				}
			})
		}
		guessers.Wait()
		// Five are free, six pauses are below a minute, and then it is one a minute.
		if got := world.hashes.Load(); got < 5+6 || got > 5+6+20 {
			t.Errorf("%d guesses were hashed in 20 minutes", got)
		}
	})
}

// From many addresses at once the queue has an end, and few processors are kept busy.
func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, world := newTestPassword(t, line("alice", "right"))
		world.takes = aHash
		f := flood{came: make(map[string]int)}
		for i := range 1000 {
			f.send(p, request(fmt.Sprintf("192.0.%d.%d", i/250, i%250), "alice", fmt.Sprint("guess", i)))
		}
		synctest.Wait()
		refusal := expect(t, p, "198.51.100.1", "alice", "right", "busy")
		if refusal.Answer.Status != http.StatusServiceUnavailable || refusal.Answer.RetryAfter != 1 {
			t.Errorf("status %d, Retry-After %d; want 503 and 1", refusal.Answer.Status, refusal.Answer.RetryAfter)
		}
		f.wait.Wait()
		room := cap(p.hashing.slots) + mostWaiting
		if f.came["bad_credentials"] != room || f.came["busy"] != 1000-room {
			t.Errorf("they came to %v, want %d hashed", f.came, room)
		}
		world.expectHashes(t, int64(room))
		if world.most != cap(p.hashing.slots) {
			t.Errorf("%d hashes were made at once, want %d", world.most, cap(p.hashing.slots))
		}
		expectEmpty(t, p)
		expect(t, p, "198.51.100.1", "alice", "right", "alice")
	})
}

// Five pods on each of twenty nodes begin with a login that nobody used before. Each
// node waits in a place of its own, lest one be turned away for what another did.
func TestManyWithOneNewLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, world := newTestPassword(t, line("alice", "right"))
		p.hashing.slots = make(chan struct{}, 1)
		world.takes = aHash
		f := flood{came: make(map[string]int)}
		for i := range 100 {
			f.send(p, request(fmt.Sprintf("192.0.2.%d", i%20), "alice", "right"))
		}
		synctest.Wait()
		p.hashing.inside.mu.Lock()
		inside := p.hashing.inside.all
		p.hashing.inside.mu.Unlock()
		if inside != 20 {
			t.Errorf("%d wait in the queue, want one of each node", inside)
		}
		f.wait.Wait()
		if f.came["alice"] != 100 {
			t.Errorf("they came to %v", f.came)
		}
		world.expectHashes(t, 1)
		world.expectResults(t, "accepted")
	})
}

func TestWhoLeavesTheQueueMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, world := newTestPassword(t, line("alice", "right"))
		p.hashing.slots = make(chan struct{}, 1)
		world.takes = aHash
		f := flood{came: make(map[string]int)}
		f.send(p, request("192.0.2.1", "bob", "guess"))
		synctest.Wait()

		ctx, leave := context.WithCancel(context.Background())
		done := make(chan error)
		go func() {
			_, err := p.Authenticate(ctx, request("192.0.2.1", "alice", "guess"))
			done <- err
		}()
		synctest.Wait()
		leave()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the context's error", err)
		}
		synctest.Wait()
		expect(t, p, "192.0.2.1", "alice", "right", "alice") // not busy: the place of that pair is free
		f.wait.Wait()
		world.expectHashes(t, 2)
		expectEmpty(t, p)
	})
}

// To hang up while a guess is hashed does not make it free.
func TestGuessCountsWhoeverHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, world := newTestPassword(t, line("alice", "right"))
		world.takes = aHash
		for i := range freeAttempts {
			ctx, cancel := context.WithTimeout(context.Background(), aHash/2)
			_, err := p.Authenticate(ctx, request("192.0.2.1", "alice", fmt.Sprint("guess", i)))
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want the context's error", err)
			}
			expect(t, p, "192.0.2.1", "alice", "another", "busy") // one at a time
			time.Sleep(aHash)
		}
		expect(t, p, "192.0.2.1", "alice", "another", "slowed_down")
		world.expectHashes(t, freeAttempts)
	})
}

func TestCloseWaitsForHashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, world := newTestPassword(t, line("alice", "right"))
		world.takes = aHash
		ctx, cancel := context.WithTimeout(context.Background(), aHash/2)
		defer cancel()
		if _, err := p.Authenticate(ctx, request("192.0.2.1", "alice", "right")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want the context's error", err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		world.expectResults(t, "accepted")
		expect(t, p, "192.0.2.1", "alice", "other", "busy")
	})
}

// expectEmpty tells whether all that was kept for those who waited is gone.
func expectEmpty(t *testing.T, p *Password) {
	t.Helper()
	h := p.hashing
	if h.inside.all != 0 || len(h.inside.of) != 0 || len(h.pairs.of) != 0 || len(h.slots) != 0 {
		t.Errorf("left in the queue: %d, %v, %v, %d", h.inside.all, h.inside.of, h.pairs.of, len(h.slots))
	}
}
