package tokencache_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/redact"
	"breakwater/tokencache"

	"github.com/golang-jwt/jwt/v5"
)

// A file is where the operator's token is.
type file struct {
	mu    sync.Mutex // guards all below
	token string
	err   error
	reads int
}

func (f *file) read() (redact.Secret, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	return redact.Secret(f.token), f.err
}

func (f *file) write(token string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.token, f.err = token, err
}

// serviceAccount is a token as Kubernetes issues them.
func serviceAccount(id string) string {
	claims := jwt.RegisteredClaims{Subject: "system:serviceaccount:kube-system:breakwater", ID: id}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte("k"))
	if err != nil {
		panic(err)
	}
	return token
}

// levels is a registry that takes the tokens named good, and a client with a file.
func levels(t *testing.T, good ...string) (*client, *file) {
	u := newUpstream()
	for _, token := range good {
		u.tokens[token] = true
		u.issued = append(u.issued, token)
	}
	f := &file{token: good[0]}
	return newClient(t, u, func(o *tokencache.Options) {
		o.Credentials, o.Health, o.BearerToken = nil, nil, f.read
	}), f
}

func TestBearerTokenIsSentAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := serviceAccount("1"), serviceAccount("2")
		c, f := levels(t, first, second)
		c.set(func(u *upstream) { u.catalog = "Bearer" })
		c.ok(t, app)
		f.write(second, nil)
		c.revoke()
		c.set(func(u *upstream) { u.tokens[second] = true })
		c.ok(t, app)            // with what is in the file now
		c.ok(t, "/v2/_catalog") // whatever the scope
		equal(t, "requests", c.requests(), []string{"GET " + app + " Bearer", "GET " + app + " Bearer", "GET /v2/_catalog Bearer"})
		equal(t, "events", c.events, []string{"credential accepted"})
		if grant, err := c.cache.Grant(t.Context(), scope("repository:team-a/app:pull")); err != nil || !grant.Opaque || c.cache.TokenService() {
			t.Errorf("%+v, %v: a right is told, and there is no token service", grant, err)
		}
		equal(t, "to ask for a right", c.requests(), nil)
		c.printsNoSecret(t)
	})
}

func TestRefusedBearerToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, renewed := serviceAccount("1"), serviceAccount("2")
		c, f := levels(t, old)
		c.ok(t, app)
		c.revoke()
		c.requests()
		refused := fails[*tokencache.CredentialError](t, c, app)
		equal(t, "first", c.requests(), []string{"GET " + app + " Bearer"})
		if account := "system:serviceaccount:kube-system:breakwater"; refused.Account != account || !strings.Contains(refused.Error(), account) {
			t.Errorf("the error names %q: %v", refused.Account, refused)
		}
		for range 100 {
			fails[*tokencache.CredentialError](t, c, app)
		}
		equal(t, "under back-off", c.requests(), nil)
		began := time.Now()
		for time.Since(began) < 10*time.Minute {
			fails[*tokencache.CredentialError](t, c, app)
			time.Sleep(50 * time.Millisecond)
		}
		if n := len(c.requests()); n < 12 || n > 16 {
			t.Errorf("%d tries in ten minutes, want 1, 2, 4 … 60 s between them", n)
		}
		f.write(renewed, nil)
		c.set(func(u *upstream) { u.tokens[renewed] = true })
		c.ok(t, app)
		equal(t, "events", c.events, []string{"credential accepted", "credential refused", "credential accepted"})
		if lines := c.logs.FilterMessage("upstream refuses the credential").All(); len(lines) != 1 {
			t.Errorf("%d lines for the operator, want 1", len(lines))
		}
		c.issued = append(c.issued, old, renewed)
		c.printsNoSecret(t, refused)
	})
}

// A token that is replaced while a request with the old one is under way.
func TestBearerTokenReplacedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		renewed := serviceAccount("2")
		c, f := levels(t, serviceAccount("1"))
		c.ok(t, app)
		c.revoke()
		c.set(func(u *upstream) { u.tokens[renewed], u.late = true, time.Second })
		c.requests()
		time.AfterFunc(time.Second/2, func() { f.write(renewed, nil) })
		c.ok(t, app)
		equal(t, "requests", c.requests(), []string{"GET " + app + " Bearer", "GET " + app + " Bearer"})
		equal(t, "events", c.events, []string{"credential accepted"})

		// Once is enough: another one that is refused as well is the last.
		c.revoke()
		time.AfterFunc(time.Second/2, func() { f.write(serviceAccount("3"), nil) })
		time.AfterFunc(3*time.Second/2, func() { f.write(serviceAccount("4"), nil) })
		fails[*tokencache.CredentialError](t, c, app)
		if n := len(c.requests()); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
	})
}

// Only upstream's 401 is about the token: 403 and 404 are about what was asked for, and
// 503 about nothing.
func TestOtherAnswersToABearerToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := levels(t, serviceAccount("1"))
		for _, status := range []int{503, 502, 200, 403, 404, 503} {
			c.set(func(u *upstream) { u.registry = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) } })
			if got, err := c.get(t.Context(), app); err != nil || got != status {
				t.Errorf("%d, %v, want %d", got, err, status)
			}
			if status == 502 {
				equal(t, "before it was accepted", c.events, nil)
			}
		}
		equal(t, "events", c.events, []string{"credential accepted"})
	})
}

func TestUnusableBearerTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := levels(t, serviceAccount("1"))
		for _, bad := range []string{"", "s3cret with space", "s3cret\r\nHost: elsewhere", strings.Repeat("s3cret", 10000)} {
			f.write(bad, nil)
			if got := fails[*tokencache.UnavailableError](t, c, app); strings.Contains(got.Error(), "s3cret") {
				t.Error(got)
			}
		}
		f.write("", errors.New("no such file"))
		if got := fails[*tokencache.UnavailableError](t, c, app); !strings.Contains(got.Error(), "no such file") {
			t.Error(got)
		}
		equal(t, "requests", c.requests(), nil)
		f.write(serviceAccount("1"), nil)
		c.ok(t, app) // at once
	})
}

func TestBearerTokenGoesToOnePlace(t *testing.T) {
	c, f := levels(t, serviceAccount("1"))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://elsewhere.test/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.send(req); err == nil || f.reads > 0 {
		t.Errorf("%v, and the file was read %d times", err, f.reads)
	}
	if sent := c.requests(); len(sent) > 0 {
		t.Errorf("sent %q", sent)
	}
}
