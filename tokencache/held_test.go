package tokencache_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"breakwater/internal/redact"
	"breakwater/tokencache"
)

var pull = scope("repository:team-a/app:pull")

// What is held is told, and nothing asked or used for it.
func TestHeld(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		if got, want := c.cache.Held(pull), (tokencache.Holding{State: tokencache.StateUnknown}); got != want {
			t.Errorf("at first: %+v, want %+v", got, want)
		}
		began := time.Now()
		c.ok(t, app)
		c.requests()
		wait(60)
		want := tokencache.Holding{
			State: tokencache.StateAccepted, Token: true, Account: robot,
			Since: began, Until: began.Add(30 * time.Minute), Allows: true,
		}
		if got := c.cache.Held(pull); got != want {
			t.Errorf("after a pull: %+v, want %+v", got, want)
		}
		if got := c.cache.Held(scope("repository:team-a/big:pull")); got != want {
			t.Errorf("of the project's other repository: %+v, want %+v", got, want)
		}
		want.Allows = false
		if got := c.cache.Held(scope("repository:team-a/app:delete")); got != want {
			t.Errorf("of another action: %+v, want %+v", got, want)
		}
		if got := c.cache.Held(scope("repository:team-b/app:pull")); got.Token {
			t.Errorf("of another project: %+v", got)
		}
		// A look does not keep a token renewed: nobody has used it in the last 5 minutes of
		// its life.
		for range 40 {
			wait(60)
			c.cache.Held(pull)
		}
		if got := c.cache.Held(pull); got.Token {
			t.Errorf("40 minutes later: %+v", got)
		}
		equal(t, "asked meanwhile", c.requests(), nil)
	})
}

func TestHeldAreTheAnswersThatGrantNothing(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.set(func(u *upstream) { delete(u.grants, "team-a") })
		fails[*tokencache.NoGrantError](t, c, app)
		got := c.cache.Held(pull)
		if !got.Token || got.Account != robot || got.Allows || got.Opaque || got.Since.IsZero() {
			t.Errorf("no grant: %+v", got)
		}
	})
}

func TestHeldTellsOfARefusedCredential(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.set(func(u *upstream) { u.password = "another" })
		fails[*tokencache.CredentialError](t, c, app)
		c.requests()
		got := c.cache.Held(pull)
		if got.State != tokencache.StateRefused || !errors.As(got.Fault, new(*tokencache.CredentialError)) || got.Token {
			t.Errorf("refused: %+v", got)
		}
		equal(t, "asked", c.requests(), nil)
	})
}

// Where there is no exchange, nothing is known of rights.
func TestHeldWithoutAnExchange(t *testing.T) {
	account := tokencache.Credentials{Username: robot, Password: redact.Secret(secret)}
	for what, tt := range map[string]struct {
		challenge string
		options   tokencache.Options
		want      tokencache.Holding
	}{
		"no token is wanted": {want: tokencache.Holding{Token: true, Opaque: true}},
		"Basic": {
			`Basic realm="registry"`, tokencache.Options{Credentials: func() (tokencache.Credentials, error) { return account, nil }},
			tokencache.Holding{Token: true, Opaque: true, Account: robot},
		},
		"a token of one's own": {
			"", tokencache.Options{BearerToken: func() (redact.Secret, error) { return redact.Secret(serviceAccount("1")), nil }},
			tokencache.Holding{Token: true, Opaque: true, Account: "system:serviceaccount:kube-system:breakwater"},
		},
		"a token of one's own that is gone": {
			"", tokencache.Options{BearerToken: func() (redact.Secret, error) { return "", errors.New("no such file") }},
			tokencache.Holding{Opaque: true},
		},
	} {
		t.Run(what, func(t *testing.T) {
			registry := answers(func(req *http.Request) (int, http.Header) {
				if tt.challenge == "" || req.Header.Get("Authorization") != "" {
					return http.StatusOK, nil
				}
				return http.StatusUnauthorized, http.Header{"Www-Authenticate": {tt.challenge}}
			})
			tt.options.Registry, tt.options.Transport = parse("http://harbor.test"), registry
			cache, err := tokencache.New(tt.options)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cache.Close() }()
			req, err := http.NewRequestWithContext(tokencache.WithScope(t.Context(), pull), http.MethodGet, "http://harbor.test"+app, nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp, err := cache.Transport(registry).RoundTrip(req); err == nil {
				_ = resp.Body.Close()
			}
			got := cache.Held(pull)
			got.State, got.Fault, got.Since, got.Until = "", nil, time.Time{}, time.Time{}
			if got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}

// answers is a registry that is open, or wants something else than tokens.
type answers func(*http.Request) (int, http.Header)

func (a answers) RoundTrip(req *http.Request) (*http.Response, error) {
	status, header := a(req)
	return &http.Response{StatusCode: status, Header: header, Body: http.NoBody, Request: req}, nil
}
