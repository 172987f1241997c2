package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/internal/redact"
	"breakwater/tokencache"
)

const hers = "the-password-of-somebody-else"

// somebody is who upstream knows beside the account of Breakwater.
var somebody = tokencache.Credentials{Username: robot, Password: secret}

// ours makes the account of Breakwater's own another one than the robot.
func ours(o *tokencache.Options) {
	o.Credentials = func() (tokencache.Credentials, error) {
		return tokencache.Credentials{Username: "robot$breakwater", Password: hers}, nil
	}
}

func TestAskSaysWhatIsGranted(t *testing.T) {
	converse(t, func(t *testing.T, c *conversation) {
		for _, test := range []struct {
			account, password string
			scopes            []string
			subject           string
			allows            []bool
		}{
			{"alice", harbortest.Password("alice"), []string{"repository:team-a/app:pull"}, "alice", []bool{true}},
			{"alice", harbortest.Password("alice"), []string{"repository:team-a/app:pull", "repository:team-b/secret:pull", "repository:library/base:pull"}, "alice", []bool{true, false, true}},
			{"alice", harbortest.Password("alice"), nil, "alice", nil},
			{"bob", harbortest.Password("bob"), []string{"repository:team-a/app:pull"}, "bob", []bool{false}},
			{harbortest.Puller, "wrong", []string{"repository:team-a/app:pull"}, "", []bool{false}},
			{harbortest.Puller, "wrong", []string{"repository:library/base:pull"}, "", []bool{true}}, // public
			{"carol", "wrong", []string{"repository:team-a/app:pull"}, "", []bool{false}},
		} {
			var scopes []tokencache.Scope
			for _, text := range test.scopes {
				scopes = append(scopes, scope(text))
			}
			g, err := c.cache.Ask(t.Context(), tokencache.Credentials{Username: test.account, Password: redact.Secret(test.password)}, scopes...)
			if err != nil || g.Subject != test.subject || g.Account != test.account || g.Opaque {
				t.Errorf("Ask(%s, %q) = %+v, %v, want the subject %q", test.account, test.scopes, g, err, test.subject)
			}
			for i, s := range scopes {
				if g.Allows(s) != test.allows[i] {
					t.Errorf("Ask(%s): allows %s: %t", test.account, s, g.Allows(s))
				}
			}
		}
		equal(t, "one question each, after the first ping", c.asked(), append([]string{"GET /v2/"},
			strings.Split(strings.Repeat("GET /service/token Basic,", 6)+"GET /service/token Basic", ",")...))
	})
}

func TestAskHonestly(t *testing.T) {
	converse(t, func(t *testing.T, c *conversation) {
		ask := func(account, password string) error {
			_, err := c.cache.Ask(t.Context(), tokencache.Credentials{Username: account, Password: redact.Secret(password)})
			return err
		}
		var refused *tokencache.RefusedError
		if err := ask("alice", "wrong"); !errors.As(err, &refused) {
			t.Errorf("error %v (%T), want a *RefusedError", err, err)
		}
		if err := ask(harbortest.Idle, harbortest.Password(harbortest.Idle)); !errors.As(err, &refused) {
			t.Errorf("error %v (%T), want a *RefusedError", err, err)
		}
		c.SetDown(harbortest.Database, true)
		if err := ask("bob", harbortest.Password("bob")); !errors.As(err, &refused) {
			t.Errorf("error %v (%T), want a *RefusedError: Harbor says so", err, err)
		}
		c.SetDown(harbortest.TokenService, true)
		var unavailable *tokencache.UnavailableError
		if err := ask("bob", harbortest.Password("bob")); !errors.As(err, &unavailable) {
			t.Errorf("error %v (%T), want an *UnavailableError", err, err)
		}
	})
}

// Whatever comes of a question about others, nothing of it becomes ours.
func TestAskLeavesOursAlone(t *testing.T) {
	replies := map[string]http.HandlerFunc{
		"as it is": nil,
		"500":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"400":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) },
		"a page":   func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>") },
	}
	for name, reply := range replies {
		for _, password := range []redact.Secret{secret, "wrong-and-secret"} {
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T, c *client) {
					c.ok(t, "/v2/team-a/app/manifests/1.0")
					c.requests()
					events := len(c.events)
					c.set(func(u *upstream) { u.tokenReply = reply })
					for _, scopes := range [][]tokencache.Scope{nil, {scope("repository:team-a/app:pull")}, {scope("repository:library/base:pull")}} {
						_, err := c.cache.Ask(t.Context(), tokencache.Credentials{Username: robot, Password: password}, scopes...)
						c.printsNoSecret(t, err)
					}
					c.set(func(u *upstream) { u.tokenReply = nil })
					if n := count(c.requests(), "GET /service/token"); n != 3 {
						t.Errorf("%d questions, want 3", n)
					}
					if len(c.events) != events || len(c.logs.FilterMessageSnippet("upstream").All()) > 1 {
						t.Errorf("events %q, logs %v", c.events[events:], c.logs.All())
					}
					c.ok(t, app)
					equal(t, "our token is still held", c.requests(), []string{"GET " + app + " Bearer"})
					// Theirs was not kept for a scope that we hold no token for.
					c.ok(t, "/v2/library/base/manifests/1.0")
					if n := count(c.requests(), "GET /service/token Basic repository:library/base:pull"); n != 1 {
						t.Errorf("%d exchanges of our own, want 1", n)
					}
				})
			})
		}
	}
}

// Our own back-off is ours: others are asked about meanwhile, and it goes on.
func TestAskUnderOurBackoff(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		fails[*tokencache.CredentialError](t, c, app)
		c.requests()
		g, err := c.cache.Ask(t.Context(), somebody, scope("repository:team-a/app:pull"))
		if err != nil || g.Subject != robot || !g.Allows(scope("repository:team-a/app:pull")) {
			t.Errorf("Ask = %+v, %v", g, err)
		}
		equal(t, "asked", c.requests(), []string{"GET /service/token Basic repository:team-a/app:pull"})
		fails[*tokencache.CredentialError](t, c, app)
		equal(t, "under back-off", c.requests(), nil)
	}, ours)
}

// A ping that fails for others is no setback of ours, and the other way round.
func TestAskPingsForItself(t *testing.T) {
	down := true
	u := newUpstream()
	flaky := func(o *tokencache.Options) {
		o.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
			if down {
				return nil, errors.New("no route to host")
			}
			return u.RoundTrip(req)
		})
	}
	var unavailable *tokencache.UnavailableError
	synctest.Test(t, func(t *testing.T) {
		down = true
		c := newClient(t, u, flaky)
		if _, err := c.cache.Ask(t.Context(), somebody); !errors.As(err, &unavailable) {
			t.Errorf("error %v (%T), want an *UnavailableError", err, err)
		}
		if len(c.events) > 0 {
			t.Errorf("events %q", c.events)
		}
		down = false
		c.ok(t, app) // at once
	})
	synctest.Test(t, func(t *testing.T) {
		down = true
		c := newClient(t, u, flaky)
		fails[*tokencache.UnavailableError](t, c, app)
		down = false
		if g, err := c.cache.Ask(t.Context(), somebody); err != nil || g.Subject != robot {
			t.Errorf("Ask = %+v, %v", g, err)
		}
		if _, err := c.cache.Grant(t.Context(), tokencache.Scope{}); !errors.As(err, &unavailable) {
			t.Errorf("error %v, want the back-off", err)
		}
	})
}

func TestAskAfterRetryAfter(t *testing.T) {
	for retryAfter, pause := range map[string]time.Duration{
		"": 0, "soon": 0, "0": 0, "20": 20 * time.Second, "86400": time.Minute,
		"Sat, 01 Jan 2000 00:00:30 GMT": 30 * time.Second,
	} {
		for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
			bubble(t, func(t *testing.T, c *client) {
				c.set(func(u *upstream) {
					u.tokenReply = func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Retry-After", retryAfter)
						w.WriteHeader(status)
					}
				})
				ask := func() (left time.Duration) {
					_, err := c.cache.Ask(t.Context(), somebody)
					var unavailable *tokencache.UnavailableError
					if err != nil && !errors.As(err, &unavailable) {
						t.Errorf("error %v (%T), want an *UnavailableError", err, err)
					}
					if err == nil {
						return 0
					}
					return unavailable.RetryAfter
				}
				ask()
				c.requests()
				c.set(func(u *upstream) { u.tokenReply = nil })
				c.ok(t, app) // our own asks on its own account
				c.requests()
				if pause > 0 {
					time.Sleep(pause - time.Second)
					if left := ask(); left != time.Second {
						t.Errorf("Retry-After %q: %s left, want 1s", retryAfter, left)
					}
					equal(t, "asked within the pause", c.requests(), nil)
					time.Sleep(time.Second)
				}
				if left := ask(); left != 0 {
					t.Errorf("Retry-After %q: still %s left", retryAfter, left)
				}
				equal(t, "asked after it", c.requests(), []string{"GET /service/token Basic"})
			})
		}
	}
}

// The credentials of others go to no other place than ours.
func TestAskGoesToOnePlace(t *testing.T) {
	for realm, sent := range map[string]string{
		"https://harbor.test/service/token":       "https://harbor.test",
		"https://evil.test/service/token":         "",
		"http://harbor.test/service/token":        "",
		"https://harbor.test:8443/service/token":  "",
		"https://evil@harbor.test/service/token":  "",
		"https://harbor.test.evil.test/":          "",
		"https://harbor.test@evil.test/service/t": "",
	} {
		hosts := &sniffer{realm: realm}
		cache, err := tokencache.New(tokencache.Options{Registry: parse("https://harbor.test"), Transport: hosts})
		if err != nil {
			t.Fatal(err)
		}
		_, err = cache.Ask(t.Context(), somebody)
		if got := strings.Join(hosts.trusted, " "); got != sent {
			t.Errorf("realm %s: credentials went to %q, want %q", realm, got, sent)
		}
		var (
			refused     *tokencache.RefusedError
			unavailable *tokencache.UnavailableError
		)
		if sent != "" && !errors.As(err, &refused) || sent == "" && !errors.As(err, &unavailable) {
			t.Errorf("realm %s: error %v (%T)", realm, err, err)
		}
		if err := cache.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAskFollowsNoRedirect(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.set(func(u *upstream) {
			u.tokenReply = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://harbor.test/service/token/")
				w.WriteHeader(http.StatusTemporaryRedirect)
			}
		})
		var unavailable *tokencache.UnavailableError
		if _, err := c.cache.Ask(t.Context(), somebody); !errors.As(err, &unavailable) {
			t.Errorf("error %v (%T), want an *UnavailableError", err, err)
		}
		equal(t, "asked", c.requests(), []string{"GET /v2/", "GET /service/token Basic"})
		// Harbor may have moved its token service: the next question looks.
		c.set(func(u *upstream) { u.tokenReply = nil })
		if _, err := c.cache.Ask(t.Context(), somebody); err != nil {
			t.Error(err)
		}
		equal(t, "asked then", c.requests(), []string{"GET /v2/", "GET /service/token Basic"})
	})
}

// What other registries' tokens say of a subject need not prove anything.
func TestAskIsForHarbor(t *testing.T) {
	for name, change := range map[string]func(*upstream){
		"another service": func(u *upstream) { u.service = "registry.test" },
		"Basic":           func(u *upstream) { u.challenge = []string{`Basic realm="registry"`} },
	} {
		bubble(t, func(t *testing.T, c *client) {
			c.set(change)
			var unavailable *tokencache.UnavailableError
			if _, err := c.cache.Ask(t.Context(), somebody, scope("repository:team-a/app:pull")); !errors.As(err, &unavailable) {
				t.Errorf("%s: error %v (%T), want an *UnavailableError", name, err, err)
			}
			equal(t, name, c.requests(), []string{"GET /v2/"})
		})
	}
}

func TestAskEndsWithItsCallerAndTheCache(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.set(func(u *upstream) { u.delay = 5 * time.Second })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.cache.Ask(ctx, somebody); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the caller's", err)
		}
		time.AfterFunc(time.Second, func() {
			if err := c.cache.Close(); err != nil {
				t.Error(err)
			}
		})
		began := time.Now()
		if _, err := c.cache.Ask(t.Context(), somebody); !errors.Is(err, tokencache.ErrClosed) || time.Since(began) != time.Second {
			t.Errorf("error %v after %s, want ErrClosed", err, time.Since(began))
		}
		c.requests()
		if _, err := c.cache.Ask(t.Context(), somebody); !errors.Is(err, tokencache.ErrClosed) {
			t.Errorf("error %v, want ErrClosed", err)
		}
		equal(t, "asked once closed", c.requests(), nil)
	})
}

func ExampleCache_Ask() {
	upstream := newUpstream()
	cache, err := tokencache.New(tokencache.Options{Registry: parse("http://harbor.test"), Transport: upstream})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cache.Close()

	pull := tokencache.Scope{Type: "repository", Name: "team-a/app", Actions: []string{"pull"}}
	for _, password := range []redact.Secret{secret, "another"} {
		credentials := tokencache.Credentials{Username: "robot$team-a+puller", Password: password}
		grant, err := cache.Ask(context.Background(), credentials, pull)
		fmt.Printf("%q %v %v\n", grant.Subject, grant.Allows(pull), err)
		_, err = cache.Ask(context.Background(), credentials)
		fmt.Println(err)
	}
	// Output:
	// "robot$team-a+puller" true <nil>
	// <nil>
	// "" false <nil>
	// http://harbor.test does not take the user name and the password
}
