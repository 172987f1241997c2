package tokencache_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/tokencache"
)

// The database is down: a valid token gets 401, the token service answers with an
// anonymous token, and without scope with 401 — as to a refused password.
func TestDatabaseDownIsNotARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.ok(t, app)
		time.Sleep(time.Minute)
		c.set(func(u *upstream) { u.down, u.ill = true, errors.New("database is unhealthy") })
		c.requests()
		ill := fails[*tokencache.UnavailableError](t, c, app)
		equal(t, "first", c.requests(), []string{
			"GET " + app + " Bearer",
			"GET /service/token Basic repository:team-a/app:pull",
			"GET /service/token Basic",
			"health",
		})
		if !strings.Contains(ill.Error(), "database is unhealthy") || ill.RetryAfter <= 0 {
			t.Errorf("UnavailableError = %v, retry after %s", ill, ill.RetryAfter)
		}
		if last := c.events[len(c.events)-1]; last != "credential unavailable" {
			t.Errorf("last event %q", last)
		}
		for range 50 {
			fails[*tokencache.UnavailableError](t, c, app)
		}
		equal(t, "under back-off", c.requests(), nil)

		// Deep in the back-off health is asked every five seconds, by whoever comes …
		for range 6000 {
			fails[*tokencache.UnavailableError](t, c, app)
			time.Sleep(100 * time.Millisecond)
		}
		log := c.requests()
		if n := count(log, "health"); n < 100 || n > 140 {
			t.Errorf("health was asked %d times in ten minutes, want about one in five seconds", n)
		}
		if n := count(log, "GET /service/token"); n > 2*16 {
			t.Errorf("%d token calls in ten minutes of back-off", n)
		}
		// … and when it is well again, so are we.
		c.set(func(u *upstream) { u.down, u.ill = false, nil })
		well := time.Now()
		for {
			status, err := c.get(t.Context(), app)
			if status == http.StatusOK {
				break
			}
			if time.Since(well) > 6*time.Second {
				t.Fatalf("still %v after %s", err, time.Since(well))
			}
			time.Sleep(100 * time.Millisecond)
		}
		if last := c.events[len(c.events)-1]; last != "credential accepted" {
			t.Errorf("last event %q", last)
		}
		c.printsNoSecret(t, ill)
	})
}

// What a token service may answer instead of a token, and how long it is then
// left alone.
func TestUnavailableTokenService(t *testing.T) {
	answer := func(status int, contentType, body string, header ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, test := range map[string]struct {
		reply http.HandlerFunc
		says  string
		least time.Duration // of RetryAfter; 0: a second
	}{
		"502 of nginx":  {reply: answer(502, "text/html", "<html>"), says: "502"},
		"429":           {reply: answer(429, "text/plain", "", "Retry-After", "20"), says: "429", least: 20 * time.Second},
		"503, too long": {reply: answer(503, "text/plain", "", "Retry-After", "86400"), says: "503", least: time.Minute},
		"503, a date": {reply: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", time.Now().Add(30*time.Second).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		}, says: "503", least: 30 * time.Second},
		"login page": {reply: answer(200, "text/html; charset=utf-8", "<html>log in"), says: `"text/html"`},
		"not JSON":   {reply: answer(200, "application/json", "secret-looking garbage"), says: "not JSON"},
		"no token":   {reply: answer(200, "application/json", `{"token":"","access_token":""}`), says: "no token"},
		"a header split": {
			reply: answer(200, "application/json", `{"token":"a\r\nX-Injected: b"}`), says: "no token",
		},
		"redirect": {reply: answer(302, "text/html", "", "Location", "http://harbor.test/login"), says: "redirects are not followed"},
		"too long": {reply: answer(200, "application/json", `{"token":"`+strings.Repeat("a", 1<<20)+`"}`), says: "longer than"},
		"400":      {reply: answer(400, "text/plain", "Unable to handle service: "), says: "400"},
		"slow": {reply: func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(time.Minute):
			}
		}, says: "no answer within 10s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, newUpstream())
				c.set(func(u *upstream) { u.tokenReply = test.reply })
				began := time.Now()
				err := fails[*tokencache.UnavailableError](t, c, app)
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("it took %s", took)
				}
				if !strings.Contains(err.Error(), test.says) {
					t.Errorf("error %q, want it to say %q", err, test.says)
				}
				if strings.Contains(err.Error(), "garbage") || strings.Contains(err.Error(), "log in") {
					t.Errorf("error %q quotes the answer", err)
				}
				if least := max(test.least, time.Second); err.RetryAfter < least || err.RetryAfter > least+least/10 {
					t.Errorf("RetryAfter = %s, want about %s", err.RetryAfter, least)
				}
				c.requests()
				fails[*tokencache.UnavailableError](t, c, app)
				equal(t, "under back-off", c.requests(), nil)
				c.set(func(u *upstream) { u.tokenReply = nil })
				time.Sleep(err.RetryAfter)
				c.ok(t, app)
			})
		})
	}
}

// Exchanges that fail together are one failure: the back-off begins with a second.
func TestFailuresTogetherCountOnce(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.ok(t, app) // so that the others are not tried one by one
		c.set(func(u *upstream) {
			u.delay = 100 * time.Millisecond
			u.tokenReply = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
		})
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				if status, err := c.get(t.Context(), fmt.Sprintf("/v2/project-%d/app/manifests/1.0", i)); err == nil {
					t.Errorf("GET = %d, want an error", status)
				}
			})
		}
		all.Wait()
		err := fails[*tokencache.UnavailableError](t, c, "/v2/library/base/manifests/1.0")
		if err.RetryAfter > 1100*time.Millisecond {
			t.Errorf("back-off of %s after 50 exchanges at once, want about a second", err.RetryAfter)
		}
		c.ok(t, app) // its token works on
	})
}

// An outage of the token service is no reason not to use what is held, and the
// state says so only until the next success.
func TestStateFollowsTheLastExchange(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.ok(t, app)
		c.set(func(u *upstream) {
			u.tokenReply = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
		})
		fails[*tokencache.UnavailableError](t, c, "/v2/library/base/manifests/1.0")
		wait(2)
		fails[*tokencache.UnavailableError](t, c, "/v2/library/base/manifests/1.0")
		c.set(func(u *upstream) { u.tokenReply = nil })
		wait(3)
		c.ok(t, "/v2/library/base/manifests/1.0")
		equal(t, "events", c.events, []string{
			"exchange granted", "credential accepted",
			"exchange unavailable", "credential unavailable", "exchange unavailable",
			"exchange granted", "credential accepted",
		})
	})
}

func TestUpstreamDownBeforeTheFirstRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := true
		u := newUpstream()
		c := newClient(t, u, func(o *tokencache.Options) {
			o.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
				if down {
					return nil, errors.New("connect: connection refused")
				}
				return u.RoundTrip(req)
			})
		})
		err := fails[*tokencache.UnavailableError](t, c, app)
		if !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("error %v", err)
		}
		down = false
		time.Sleep(err.RetryAfter)
		c.ok(t, app)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
