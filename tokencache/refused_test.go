package tokencache_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/tokencache"

	"go.uber.org/zap/zapcore"
)

const app = "/v2/team-a/app/manifests/1.0"

func TestRefusedPasswordIsTriedTwiceThenLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.configure(wrong())
		refused := fails[*tokencache.CredentialError](t, c, app)
		equal(t, "first", c.requests(), []string{
			"GET /v2/",
			"GET /service/token Basic repository:team-a/app:pull",
			"GET /service/token Basic",
			"health",
		})
		if refused.Account != robot || !strings.Contains(refused.Error(), robot) {
			t.Errorf("the error names %q: %v", refused.Account, refused)
		}
		for range 100 {
			fails[*tokencache.CredentialError](t, c, app)
			fails[*tokencache.CredentialError](t, c, "/v2/library/base/manifests/1.0")
			fails[*tokencache.CredentialError](t, c, "/v2/_catalog")
		}
		equal(t, "under back-off", c.requests(), nil)
		equal(t, "events", c.events, []string{"exchange anonymous", "exchange refused", "credential refused"})

		lines := c.logs.FilterLevelExact(zapcore.ErrorLevel).All()
		if len(lines) != 1 || lines[0].ContextMap()["account"] != robot {
			t.Errorf("want one line for the operator that names the account, got %v", lines)
		}
		c.printsNoSecret(t, refused)
	})
}

func TestBackoffDoublesUpToAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.configure(wrong())
		began := time.Now()
		var tries []time.Duration
		for time.Since(began) < 10*time.Minute {
			fails[*tokencache.CredentialError](t, c, app)
			if count(c.requests(), "GET /service/token") > 0 {
				tries = append(tries, time.Since(began))
			}
			time.Sleep(50 * time.Millisecond)
		}
		want := time.Second
		for i := 1; i < len(tries); i++ {
			pause := tries[i] - tries[i-1]
			if longest := want + want/10 + 50*time.Millisecond; pause < want || pause > longest {
				t.Errorf("pause %d = %s, want %s to %s", i, pause, want, longest)
			}
			want = min(2*want, time.Minute)
		}
		if len(tries) < 12 {
			t.Errorf("only %d tries in ten minutes: %v", len(tries), tries)
		}
		if lines := c.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); lines != 1 {
			t.Errorf("%d lines for one refused credential, want 1", lines)
		}
	})
}

func TestNewSecretIsTriedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.configure(wrong())
		for range 8 { // deep in the back-off
			fails[*tokencache.CredentialError](t, c, app)
			time.Sleep(time.Minute)
		}
		fails[*tokencache.CredentialError](t, c, app)
		c.requests()
		c.configure(tokencache.Credentials{Username: robot, Password: secret})
		c.ok(t, app)
		equal(t, "after the rotation", c.requests(), []string{
			"GET /service/token Basic repository:team-a/app:pull", "GET " + app + " Bearer",
		})
		if last := c.events[len(c.events)-1]; last != "credential accepted" {
			t.Errorf("last event %q", last)
		}
		// Another wrong one begins with a short back-off again.
		c.set(func(u *upstream) { u.password = "another" })
		c.revoke()
		time.Sleep(time.Second)
		if refused := fails[*tokencache.CredentialError](t, c, app); time.Until(refused.Until) > 2*time.Second {
			t.Errorf("next try in %s, want about a second", time.Until(refused.Until))
		}
	})
}

func TestRotatedSecretDoesNotDropTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.ok(t, app)
		c.requests()
		c.set(func(u *upstream) { u.password = "new" })
		c.configure(tokencache.Credentials{Username: robot, Password: "new"})
		c.ok(t, app)
		c.ok(t, "/v2/library/base/manifests/1.0")
		if n := count(c.requests(), "GET /service/token"); n != 1 {
			t.Errorf("%d exchanges, want only the one for library", n)
		}
	})
}

func TestAnotherAccountStartsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.ok(t, app)
		c.configure(tokencache.Credentials{})     // anonymous from now on
		c.ok(t, "/v2/library/base/manifests/1.0") // noticed at the next exchange
		c.requests()
		if _, err := c.get(t.Context(), app); err != nil {
			t.Fatal(err)
		}
		equal(t, "the token of the account before is not used", c.requests(), []string{
			"GET /service/token repository:team-a/app:pull", "GET " + app + " Bearer",
		})
	})
}

// A wrong login elsewhere makes Harbor answer the right password with an anonymous
// token for 1.5 s.
func TestPassingFaultIsAskedOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		c.set(func(u *upstream) {
			u.tokenReply = nil
			u.password = "blocked"
			u.delay = time.Second
		})
		go func() {
			time.Sleep(1500 * time.Millisecond) // during the question without scope
			c.set(func(u *upstream) { u.password = secret })
		}()
		c.ok(t, app)
		equal(t, "requests", c.requests(), []string{
			"GET /v2/",
			"GET /service/token Basic repository:team-a/app:pull",
			"GET /service/token Basic",
			"GET /service/token Basic repository:team-a/app:pull",
			"GET " + app + " Bearer",
		})
		equal(t, "events", c.events, []string{
			"exchange anonymous", "exchange granted", "exchange granted", "credential accepted",
		})
	})
}

func TestNoGrantIsNoRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream())
		const path = "/v2/team-b/secret/manifests/1.0"
		denied := fails[*tokencache.NoGrantError](t, c, path)
		if denied.Account != robot || denied.Scope.Name != "team-b/secret" {
			t.Errorf("NoGrantError = %+v", denied)
		}
		c.requests()
		for range 20 {
			fails[*tokencache.NoGrantError](t, c, path)
		}
		equal(t, "remembered", c.requests(), nil)
		c.ok(t, app) // no back-off for the account
		equal(t, "events", c.events, []string{"exchange no_grant", "credential accepted", "exchange granted"})

		time.Sleep(11 * time.Second)
		c.set(func(u *upstream) { u.grants["team-b"] = []string{"pull"} })
		c.ok(t, path)
	})
}

func TestUnreadableSecretIsNotARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, newUpstream(), func(o *tokencache.Options) {
			o.Credentials = func() (tokencache.Credentials, error) {
				return tokencache.Credentials{}, fmt.Errorf("open /run/secrets/password: no such file")
			}
		})
		err := fails[*tokencache.UnavailableError](t, c, app)
		if !strings.Contains(err.Error(), "/run/secrets/password") {
			t.Errorf("error %v does not name the file", err)
		}
		if n := count(c.requests(), "GET /service/token"); n != 0 {
			t.Errorf("%d exchanges without credentials", n)
		}
	})
}
