package tokencache_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/tokencache"
)

func TestHotTokensAreRenewedInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.ok(t, app)
		began := time.Now()
		var renewals []time.Duration
		last := began
		for time.Since(began) < 4*time.Hour {
			time.Sleep(time.Minute)
			c.ok(t, app)
			c.mu.Lock()
			for i, line := range c.log {
				if strings.HasPrefix(line, "GET /service/token") {
					renewals = append(renewals, c.times[i].Sub(last))
					last = c.times[i]
				}
			}
			c.mu.Unlock()
			c.requests()
		}
		const life = 1800*time.Second - 30*time.Second
		for _, after := range renewals[1:] { // the first is the exchange itself
			if after < life*7/10 || after > life*9/10 {
				t.Errorf("renewed after %s, want 70–90 %% of %s", after, life)
			}
		}
		if len(renewals) < 9 {
			t.Errorf("%d exchanges in four hours", len(renewals))
		}
	})
}

func TestIdleTokensAreNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.ok(t, app)
		c.requests()
		time.Sleep(2 * time.Hour)
		equal(t, "idle", c.requests(), nil)
		c.ok(t, app)
		equal(t, "expired", c.requests(), []string{
			"GET /service/token Basic repository:team-a/app:pull", "GET " + app + " Bearer",
		})
	})
}

func TestFailedRenewalKeepsTheTokenThatWorks(t *testing.T) {
	for name, reply := range map[string]http.HandlerFunc{
		"502": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		// No token service at all: the challenge is in doubt, the token is not.
		"404": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"401": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, newUpstream())
				c.ok(t, app)
				c.set(func(u *upstream) { u.tokenReply = reply })
				began := time.Now()
				for time.Since(began) < 29*time.Minute {
					c.ok(t, app)
					time.Sleep(10 * time.Second)
				}
				if n := count(c.requests(), "GET /service/token"); n < 3 || n > 10 {
					t.Errorf("%d token calls, want the first, and a few tries to renew", n)
				}
				// It comes back before the token ends: nobody notices anything.
				c.set(func(u *upstream) { u.tokenReply = nil })
				for time.Since(began) < 2*time.Hour {
					time.Sleep(10 * time.Second)
					c.ok(t, app)
				}
			})
		})
	}
}

func TestCloseStopsRenewals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.ok(t, app)
		if err := c.cache.Close(); err != nil {
			t.Fatal(err)
		}
		c.requests()
		time.Sleep(time.Hour)
		equal(t, "after Close", c.requests(), nil)
	})
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.delay = 8 * time.Second
		ended := make(chan error)
		go func() {
			_, err := c.get(t.Context(), app)
			ended <- err
		}()
		synctest.Wait()
		began := time.Now()
		if err := c.cache.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !errors.Is(err, tokencache.ErrClosed) {
			t.Errorf("the one who waited got %v", err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("Close took %s", took)
		}
		if status, err := c.get(t.Context(), app); err == nil {
			t.Errorf("GET = %d on a closed cache", status)
		}
	})
}
