package tokencache_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/tokencache"
)

// bubble runs a test with a client of its own on a fake clock.
func bubble(t *testing.T, f func(*testing.T, *client), change ...func(*tokencache.Options)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newClient(t, newUpstream(), change...)) })
}

func wait(seconds int) { time.Sleep(time.Duration(seconds) * time.Second) }

const catalog = "/v2/_catalog"

func TestCatalogByBasic(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.set(func(u *upstream) { u.grants["catalog"] = []string{"*"} }) // an administrator
		c.ok(t, catalog)
		equal(t, "first", c.requests(), []string{
			"GET /v2/",
			"GET /service/token Basic registry:catalog:*",
			"GET /v2/_catalog Bearer",
			"GET /v2/ Basic",
			"GET /v2/_catalog Basic",
		})
		c.ok(t, catalog)
		equal(t, "remembered", c.requests(), []string{"GET /v2/_catalog Basic"})
		c.ok(t, app)
		equal(t, "everything else stays with Bearer", c.requests(), []string{
			"GET /service/token Basic repository:team-a/app:pull", "GET " + app + " Bearer",
		})
	})
}

// A robot with catalog:read: its token lists nothing, Basic works.
func TestCatalogWithoutGrantByBasic(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.ok(t, catalog)
		equal(t, "first", c.requests(), []string{
			"GET /v2/", "GET /service/token Basic registry:catalog:*", "GET /v2/ Basic", "GET /v2/_catalog Basic",
		})
		c.ok(t, catalog)
		equal(t, "remembered", c.requests(), []string{"GET /v2/_catalog Basic"})
	})
}

func TestCatalogByBearerOfAnOlderHarbor(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.set(func(u *upstream) { u.catalog, u.grants["catalog"] = "Bearer", []string{"*"} })
		c.ok(t, catalog)
		c.ok(t, catalog)
		equal(t, "requests", c.requests(), []string{
			"GET /v2/", "GET /service/token Basic registry:catalog:*", "GET /v2/_catalog Bearer", "GET /v2/_catalog Bearer",
		})
	})
}

func TestCatalogRefused(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.set(func(u *upstream) { u.catalog = "None" })
		get := func() {
			t.Helper()
			if status, err := c.get(t.Context(), catalog); status != http.StatusUnauthorized {
				t.Errorf("GET = %d, %v, want upstream's 401", status, err)
			}
		}
		get()
		c.requests()
		for range 20 {
			get()
		}
		log := c.requests()
		if n := count(log, "GET /service/token") + count(log, "GET /v2/ "); n != 0 {
			t.Errorf("%d further questions right after it: %q", n, log)
		}
		c.ok(t, app) // the account is fine
	})
}

func basicOnly(c *client) {
	c.set(func(u *upstream) { u.challenge = []string{`Basic realm="registry"`} })
}

func TestBasicOnlyUpstream(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		basicOnly(c)
		c.ok(t, app)
		c.ok(t, "/v2/library/base/manifests/1.0")
		equal(t, "requests", c.requests(), []string{
			"GET /v2/", "GET /v2/ Basic", "GET " + app + " Basic", "GET /v2/library/base/manifests/1.0 Basic",
		})
		// A rotated secret is noticed by its refusal.
		wait(60)
		c.set(func(u *upstream) { u.password = "new" })
		c.configure(tokencache.Credentials{Username: robot, Password: "new"})
		c.ok(t, app)
	})
}

func TestBasicOnlyUpstreamRefuses(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		basicOnly(c)
		c.configure(wrong())
		refused := fails[*tokencache.CredentialError](t, c, app)
		c.requests()
		for range 20 {
			fails[*tokencache.CredentialError](t, c, app)
		}
		equal(t, "under back-off", c.requests(), nil)
		c.printsNoSecret(t, refused)
	})
}

func TestBasicOnlyUpstreamWithoutCredentials(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		basicOnly(c)
		c.configure(tokencache.Credentials{})
		if err := fails[*tokencache.CredentialError](t, c, app); err.Account != "" {
			t.Errorf("CredentialError = %+v", err)
		}
		c.configure(tokencache.Credentials{Username: robot, Password: secret})
		c.ok(t, app) // at once: nothing had been refused
	})
}

func TestOpenUpstream(t *testing.T) {
	closed := false
	open := roundTripper(func(req *http.Request) (*http.Response, error) {
		resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: req}
		if closed && req.Header.Get("Authorization") != "Basic "+"cm9ib3QkdGVhbS1hK3B1bGxlcjpzM2NyZXQtb2YtdGhlLXJvYm90" {
			resp.StatusCode = 401
			resp.Header.Set("Www-Authenticate", `Basic realm="now"`)
		}
		return resp, nil
	})
	bubble(t, func(t *testing.T, c *client) {
		get := func() {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://harbor.test/v2/x/tags/list", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.cache.Transport(open).RoundTrip(req)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("GET = %v, %v", resp, err)
			}
			_ = resp.Body.Close()
		}
		get()
		closed = true // a 401 to a request without Authorization teaches anew
		get()
	}, func(o *tokencache.Options) { o.Transport = open })
}

func TestAnonymousIdentity(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.ok(t, "/v2/library/base/manifests/1.0")
		c.ok(t, "/v2/library/multi/manifests/1.0")
		equal(t, "requests", c.requests(), []string{
			"GET /v2/",
			"GET /service/token repository:library/base:pull",
			"GET /v2/library/base/manifests/1.0 Bearer",
			"GET /v2/library/multi/manifests/1.0 Bearer",
		})
		// Without scope Harbor answers 401 to nobody: nothing granted, no back-off.
		if _, err := c.cache.Grant(t.Context(), tokencache.Scope{}); err == nil {
			t.Error("want an error")
		} else if _, ok := err.(*tokencache.NoGrantError); !ok {
			t.Errorf("error %v (%T), want a *NoGrantError", err, err)
		}
		c.ok(t, "/v2/library/base/manifests/1.0")
	}, func(o *tokencache.Options) { o.Credentials = nil })
}
