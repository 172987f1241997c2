package tokencache_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/tokencache"
)

func TestRevokedTokenIsReplacedUnnoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.ok(t, app)
		time.Sleep(time.Minute)
		c.requests()
		c.revoke()
		c.ok(t, app)
		equal(t, "requests", c.requests(), []string{
			"GET " + app + " Bearer",
			"GET /service/token Basic repository:team-a/app:pull",
			"GET " + app + " Bearer",
		})
		c.ok(t, app)
		equal(t, "warm again", c.requests(), []string{"GET " + app + " Bearer"})
	})
}

// Everybody's 401 is for the same token: whoever comes second finds another one
// held, or joins the exchange.
func TestRevokedTokenIsReplacedOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.ok(t, app)
		time.Sleep(time.Minute)
		c.revoke()
		c.requests()
		c.set(func(u *upstream) { u.delay, u.late = 20*time.Millisecond, 5*time.Millisecond })
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				// Some are refused while the exchange is under way, some begin then,
				// some after it.
				time.Sleep(time.Duration(i) * 500 * time.Microsecond)
				if status, err := c.get(t.Context(), app); status != http.StatusOK {
					t.Errorf("GET = %d, %v", status, err)
				}
			})
		}
		all.Wait()
		if n := count(c.requests(), "GET /service/token"); n != 1 {
			t.Errorf("%d exchanges, want 1", n)
		}
	})
}

// Another token is held already when the old one is rejected: no exchange, not even
// a pause, is needed to use it.
func TestRejectedTokenGivesWayToTheOneHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.ok(t, app)
		time.Sleep(time.Minute)
		c.revoke()
		c.ok(t, app) // begins a pause
		c.revoke()
		c.set(func(u *upstream) { u.late = 100 * time.Millisecond })
		var all sync.WaitGroup
		all.Go(func() { c.ok(t, app) })
		synctest.Wait()
		if _, err := c.cache.Grant(t.Context(), scope("repository:team-a/app:pull")); err != nil {
			t.Fatal(err)
		}
		c.requests()
		all.Wait()
		equal(t, "after the refusal", c.requests(), []string{"GET " + app + " Bearer"})
	})
}

// A slow exchange does not put its token in the place of a newer one.
func TestOlderTokenDoesNotReplaceANewerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.ok(t, "/v2/library/base/manifests/1.0")
		c.set(func(u *upstream) { u.delay = 2 * time.Second })
		var all sync.WaitGroup
		all.Go(func() { c.ok(t, app) })
		synctest.Wait()
		c.set(func(u *upstream) { u.delay = time.Second })
		if _, err := c.cache.Grant(t.Context(), scope("repository:team-a/app:pull")); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		c.set(func(u *upstream) { delete(u.tokens, u.issued[2]) }) // the slow one
		c.requests()
		c.ok(t, app)
		equal(t, "requests", c.requests(), []string{"GET " + app + " Bearer"})
	})
}

// Harbor says 401 to a valid token for what does not exist and for lack of rights.
func TestFreshTokenRefusedIsHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		refuse := func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/v2/team-a/gone/") {
				w.Header().Set("Www-Authenticate", "")
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, "upstream's own words")
			}
		}
		c.set(func(u *upstream) { u.registry = refuse })
		const gone = "/v2/team-a/gone/manifests/1"
		get := func(path string, want int) {
			t.Helper()
			if status, err := c.get(t.Context(), path); status != want || err != nil {
				t.Errorf("GET %s = %d, %v, want %d", path, status, err, want)
			}
		}
		get(gone, 401) // its token was exchanged for this very request
		equal(t, "cold", c.requests(), []string{
			"GET /v2/", "GET /service/token Basic repository:team-a/gone:pull", "GET " + gone + " Bearer",
		})
		for range 50 {
			get(gone, 401)
			get(app, 200)
		}
		if n := count(c.requests(), "GET /service/token"); n != 0 {
			t.Errorf("%d exchanges right after a fresh token was refused, want none", n)
		}
		// Later a 401 is worth an exchange again, ever more seldom.
		began, exchanges := time.Now(), 0
		for time.Since(began) < 10*time.Minute {
			get(gone, 401)
			get(app, 200)
			exchanges += count(c.requests(), "GET /service/token")
			time.Sleep(100 * time.Millisecond)
		}
		if exchanges < 10 || exchanges > 16 {
			t.Errorf("%d exchanges in ten minutes of refusals, want about 14", exchanges)
		}
		// The project's token is good all the while, and can still be replaced.
		time.Sleep(70 * time.Second)
		c.revoke()
		get(app, 200)
	})
}

func TestManyFreshRefusalsCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.set(func(u *upstream) {
			u.late = 10 * time.Millisecond // of the ping: all of the first storm began before the exchange
			u.registry = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }
		})
		storm := func() int {
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					if status, err := c.get(t.Context(), app); status != 401 {
						t.Errorf("GET = %d, %v", status, err)
					}
				})
			}
			all.Wait()
			return count(c.requests(), "GET /service/token")
		}
		if n := storm(); n != 1 {
			t.Errorf("%d exchanges for 100 first requests, want 1", n)
		}
		if n := storm(); n != 0 {
			t.Errorf("%d exchanges at once after it", n)
		}
		time.Sleep(1200 * time.Millisecond) // the pause of one token, not of 100 refusals
		if n := storm(); n != 1 {
			t.Errorf("%d exchanges after the pause, want 1", n)
		}
	})
}

// A request that joined the exchange which another's 401 had caused, and is refused
// before that other one, causes none itself.
func TestReplacementIsNotReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.ok(t, app)
		time.Sleep(time.Minute)
		const slow, fast = "/v2/team-a/slow/manifests/1", "/v2/team-a/fast/manifests/1"
		c.set(func(u *upstream) {
			u.delay = 20 * time.Millisecond
			u.registry = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }
		})
		next := roundTripper(func(req *http.Request) (*http.Response, error) {
			if req.URL.Path == slow {
				time.Sleep(10 * time.Millisecond)
			}
			return c.upstream.RoundTrip(req)
		})
		get := func(path string) {
			ctx := tokencache.WithScope(t.Context(), scope("repository:team-a/app:pull"))
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://harbor.test"+path, nil)
			if err != nil {
				t.Error(err)
				return
			}
			resp, err := c.cache.Transport(next).RoundTrip(req)
			if err != nil || resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("GET %s = %v, %v, want upstream's 401", path, resp, err)
				return
			}
			_ = resp.Body.Close()
		}
		c.requests()
		var all sync.WaitGroup
		all.Go(func() { get(slow) })
		time.Sleep(15 * time.Millisecond) // refused, and exchanging
		all.Go(func() { get(fast) })
		all.Wait()
		if n := count(c.requests(), "GET /service/token"); n != 1 {
			t.Errorf("%d exchanges, want 1", n)
		}
	})
}

func TestBodiesAreSentAgainOnlyWhenTheyCanBe(t *testing.T) {
	for name, test := range map[string]struct {
		rewind bool
		want   int
	}{
		"with GetBody":    {true, http.StatusOK},
		"without GetBody": {false, http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, newUpstream())
				var got []string
				c.set(func(u *upstream) {
					u.registry = func(_ http.ResponseWriter, r *http.Request) {
						body, err := io.ReadAll(r.Body)
						if err != nil {
							t.Error(err)
						}
						got = append(got, string(body))
					}
				})
				post := func() int {
					ctx := tokencache.WithScope(t.Context(), scope("repository:team-a/app:push"))
					req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://harbor.test/v2/team-a/app/blobs/uploads/", strings.NewReader("payload"))
					if err != nil {
						t.Fatal(err)
					}
					if !test.rewind {
						req.GetBody = nil
					}
					status, err := c.send(req)
					if err != nil {
						t.Fatal(err)
					}
					return status
				}
				post()
				time.Sleep(time.Minute)
				c.revoke()
				if status := post(); status != test.want {
					t.Errorf("POST = %d, want %d", status, test.want)
				}
				// Either way the rejected token is gone.
				if status := post(); status != http.StatusOK {
					t.Errorf("the next POST = %d", status)
				}
				for _, body := range got {
					if body != "payload" {
						t.Errorf("a body arrived as %q", body)
					}
				}
			})
		})
	}
}

func TestClientsCredentialsAreNotSentOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		ctx := tokencache.WithScope(t.Context(), scope("repository:team-a/app:pull"))
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://harbor.test"+app, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer of-a-client")
		req.Header.Set("Cookie", "sid=of-a-client") // the upstream refuses any
		resp, err := c.cache.Transport(c.upstream).RoundTrip(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("GET = %v, %v", resp, err)
		}
		_ = resp.Body.Close()
		if resp.Request != req {
			t.Error("the request with our token comes out with the response")
		}
		if req.Header.Get("Authorization") != "Bearer of-a-client" {
			t.Error("a RoundTripper must not change the request")
		}
	})
}

func TestOtherOriginsGetNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		for _, elsewhere := range []string{"https://harbor.test/v2/", "http://harbor.test:8080/v2/", "http://evil.test/v2/", "http://harbor.test.evil/v2/"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, elsewhere, nil)
			if err != nil {
				t.Fatal(err)
			}
			if status, err := c.send(req); err == nil {
				t.Errorf("GET %s = %d, want an error", elsewhere, status)
			}
		}
		equal(t, "requests", c.requests(), nil)
	})
}
