package tokencache_test

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"breakwater/tokencache"
)

// unsigned makes a JWT of those claims; nobody here checks signatures.
func unsigned(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + encode([]byte(claims)) + ".c2ln"
}

func TestGrantSaysWhatIsGranted(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.set(func(u *upstream) { u.grants["team-a"] = []string{"pull", "push"} })
		g, err := c.cache.Grant(t.Context(), scope("repository:team-a/app:pull"))
		if err != nil {
			t.Fatal(err)
		}
		if g.Account != robot || g.Subject != robot || g.Opaque || time.Until(g.ExpiresAt) != 30*time.Minute {
			t.Errorf("Grant = %+v", g)
		}
		for text, want := range map[string]bool{
			"repository:team-a/app:pull":      true,
			"repository:team-a/app:pull,push": true,
			"repository:team-a/app:delete":    false,
			"repository:team-a/big:pull":      false,
			"registry:team-a/app:pull":        false,
		} {
			if got := g.Allows(scope(text)); got != want {
				t.Errorf("Allows(%s) = %t", text, got)
			}
		}
	})
}

func TestGrantAsksRightNow(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.ok(t, app)
		c.requests()
		if _, err := c.cache.Grant(t.Context(), scope("repository:team-a/app:pull")); err != nil {
			t.Fatal(err)
		}
		c.ok(t, app)
		equal(t, "a new token, used from then on", c.requests(), []string{
			"GET /service/token Basic repository:team-a/app:pull", "GET " + app + " Bearer",
		})
		// The right is taken away. The old token would work on, but we know better.
		c.set(func(u *upstream) { delete(u.grants, "team-a") })
		c.ok(t, app)
		var denied *tokencache.NoGrantError
		if _, err := c.cache.Grant(t.Context(), scope("repository:team-a/app:pull")); !errors.As(err, &denied) {
			t.Errorf("Grant = %v, want a *NoGrantError", err)
		}
		fails[*tokencache.NoGrantError](t, c, app)
	})
}

// An exchange that began before the call does not count.
func TestGrantDoesNotJoinAnOlderExchange(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.set(func(u *upstream) { u.delay = time.Second })
		go func() { _, _ = c.cache.Grant(t.Context(), scope("repository:team-a/app:pull")) }()
		time.Sleep(500 * time.Millisecond)
		began := time.Now()
		if _, err := c.cache.Grant(t.Context(), scope("repository:team-a/app:pull")); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 1500*time.Millisecond {
			t.Errorf("Grant took %s, want the rest of the first exchange and one of its own", took)
		}
	})
}

func TestGrantWithoutScopeAsksWhoWeAre(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		g, err := c.cache.Grant(t.Context(), tokencache.Scope{})
		if err != nil || g.Subject != robot || g.Access != nil {
			t.Errorf("Grant = %+v, %v", g, err)
		}
		c.configure(wrong())
		var refused *tokencache.CredentialError
		if _, err := c.cache.Grant(t.Context(), tokencache.Scope{}); !errors.As(err, &refused) {
			t.Errorf("error %v, want a *CredentialError", err)
		}
	})
}

func TestGrantHonoursItsContext(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.set(func(u *upstream) { u.delay = 5 * time.Second })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.cache.Grant(ctx, scope("repository:team-a/app:pull")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

// The time limit of a token call is not the caller's.
func TestOwnTimeLimitIsNotTheCallers(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.set(func(u *upstream) { u.delay = time.Minute })
		err := fails[*tokencache.UnavailableError](t, c, app)
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v unwraps to a deadline, which is not the caller's", err)
		}
	})
}

func TestARightIsProvenByItsTokensExchange(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		pull := scope("repository:team-a/app:pull")
		if at := c.cache.Exchanged(pull); !at.IsZero() {
			t.Errorf("before any exchange: %s", at)
		}
		c.ok(t, app)
		began := time.Now()
		time.Sleep(10 * time.Minute)
		c.ok(t, app)
		if at := c.cache.Exchanged(pull); !at.Equal(began) {
			t.Errorf("a request with a held token proves the right as of %s, not of the token's exchange %s before", at, time.Since(began))
		}
		c.set(func(u *upstream) { delete(u.grants, "team-a") })
		if _, err := c.cache.Grant(t.Context(), pull); err == nil {
			t.Error("granted what was taken away")
		}
		if at := c.cache.Exchanged(pull); !at.IsZero() {
			t.Errorf("once taken away, the right is still proven as of %s", at)
		}
	})
}
