package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/tokencache"
)

func TestFirstRequestsShareOneExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.delay = 20 * time.Millisecond
		const clients = 200
		var all sync.WaitGroup
		for range clients {
			all.Go(func() {
				if status, err := c.get(t.Context(), "/v2/team-a/app/manifests/1.0"); status != http.StatusOK {
					t.Errorf("GET = %d, %v", status, err)
				}
			})
		}
		all.Wait()
		log := c.requests()
		if pings, exchanges := count(log, "GET /v2/ "), count(log, "GET /service/token"); exchanges != 1 || pings != 0 {
			t.Errorf("%d exchanges, %d pings with Authorization, want 1 and 0", exchanges, pings)
		}
		if got, want := len(log), clients+2; got != want {
			t.Errorf("%d requests upstream, want %d: one ping, one exchange, and the clients'", got, want)
		}
		equal(t, "first requests", log[:2], []string{"GET /v2/", "GET /service/token Basic repository:team-a/app:pull"})

		// Rights are per project at Harbor: another repository is warm too.
		c.ok(t, "/v2/team-a/big/manifests/1.0")
		equal(t, "warm", c.requests(), []string{"GET /v2/team-a/big/manifests/1.0 Bearer"})
		equal(t, "events", c.events, []string{"exchange granted", "credential accepted"})
	})
}

func TestEachProjectHasItsOwnToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.ok(t, "/v2/team-a/app/manifests/1.0")
		c.ok(t, "/v2/library/base/manifests/1.0")
		if n := count(c.requests(), "GET /service/token"); n != 2 {
			t.Errorf("%d exchanges, want 2", n)
		}
	})
}

func TestOtherRegistriesKeepScopesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newUpstream()
		u.service = "registry.test"
		c := newClient(t, u)
		c.ok(t, "/v2/team-a/app/manifests/1.0")
		c.ok(t, "/v2/team-a/big/manifests/1.0")
		if n := count(c.requests(), "GET /service/token"); n != 2 {
			t.Errorf("%d exchanges, want one per repository", n)
		}
	})
}

func TestManyScopesTryTheCredentialOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.delay = time.Second
		c.configure(wrong())
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				if status, err := c.get(t.Context(), fmt.Sprintf("/v2/project-%d/app/manifests/1.0", i)); err == nil {
					t.Errorf("GET = %d, want an error", status)
				}
			})
		}
		all.Wait()
		if n := count(c.requests(), "GET /service/token"); n != 2 {
			t.Errorf("%d exchanges for 50 scopes with a refused password, want 2", n)
		}
	})
}

func TestWaitersLeaveOnTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.delay = 4 * time.Second
		impatient, leave := context.WithCancelCause(t.Context())
		type valueKey struct{}
		var all sync.WaitGroup
		all.Go(func() { // begins the flight
			_, err := c.get(context.WithValue(impatient, valueKey{}, "mine"), "/v2/team-a/app/manifests/1.0")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("the one who left got %v", err)
			}
		})
		synctest.Wait()
		all.Go(func() { c.ok(t, "/v2/team-a/app/manifests/1.0") })
		synctest.Wait()
		time.Sleep(time.Second)
		leave(nil)
		all.Wait()
		if n := count(c.requests(), "GET /service/token"); n != 1 {
			t.Errorf("%d exchanges, want 1: the flight lives while one waiter is left", n)
		}
	})
}

func TestFlightEndsWithItsLastWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.delay = 8 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if _, err := c.get(ctx, "/v2/team-a/app/manifests/1.0"); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want the caller's own deadline", err)
				}
			})
		}
		all.Wait()
		synctest.Wait()
		c.mu.Lock()
		running := c.running
		c.delay = 0
		c.mu.Unlock()
		if running != 0 {
			t.Errorf("%d token calls still run for nobody", running)
		}
		// That nobody waited says nothing about upstream: no back-off.
		c.ok(t, "/v2/team-a/app/manifests/1.0")
		equal(t, "events", c.events, []string{"exchange granted", "credential accepted"})
	})
}

// A mount needs two rights at once.
func TestSeveralScopesAreOneToken(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		target, source := scope("repository:team-a/app:pull,push"), scope("repository:library/base:pull")
		for _, scopes := range [][]tokencache.Scope{{target, source}, {source, target}} {
			req, err := http.NewRequestWithContext(tokencache.WithScope(t.Context(), scopes...),
				http.MethodPost, "http://harbor.test/v2/team-a/app/blobs/uploads/", nil)
			if err != nil {
				t.Fatal(err)
			}
			if status, err := c.send(req); status != http.StatusOK {
				t.Errorf("POST = %d, %v", status, err)
			}
		}
		equal(t, "requests", c.requests(), []string{
			"GET /v2/",
			"GET /service/token Basic repository:team-a/app:pull,push repository:library/base:pull",
			"POST /v2/team-a/app/blobs/uploads/ Bearer",
			"POST /v2/team-a/app/blobs/uploads/ Bearer",
		})
	})
}

// Scopes come from clients, so what is held is bounded.
func TestLeastRecentlyUsedKeysAreForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		grant := func(name string) {
			t.Helper()
			if _, err := c.cache.Grant(t.Context(), scope("repository:team-a/"+name+":pull")); err != nil {
				t.Fatal(err)
			}
		}
		c.set(func(u *upstream) { u.service = "registry.test" }) // a key per repository
		reply(c, `{"token":"opaque","expires_in":1800}`)
		c.ok(t, app)
		for i := range 4095 {
			grant(fmt.Sprint(i))
		}
		c.requests()
		c.ok(t, app)
		if n := count(c.requests(), "GET /service/token"); n != 0 {
			t.Error("a key was forgotten while there was room")
		}
		for i := range 4096 {
			grant(fmt.Sprint("more-", i))
		}
		c.requests()
		c.ok(t, app)
		if n := count(c.requests(), "GET /service/token"); n != 1 {
			t.Errorf("%d exchanges for a key that 4096 others have pushed out, want 1", n)
		}
	})
}
