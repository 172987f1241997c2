package tokencache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/redact"
	"breakwater/tokencache"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

const (
	robot  = "robot$team-a+puller"
	secret = "s3cret-of-the-robot"
)

// An upstream is a registry and its token service in memory, so that it can live
// in a synctest bubble. It behaves as Harbor does unless a test says otherwise.
type upstream struct {
	service string // of the challenge

	mu        sync.Mutex // guards all below
	password  string     // the robot's, right now
	grants    map[string][]string
	expiresIn any
	delay     time.Duration // of the token service
	late      time.Duration // of the registry's 401 to a token
	down      bool          // the database: see answers 27–39 of "backends down"
	ill       error         // what health says
	tokens    map[string]bool
	issued    []string // every token ever made
	log       []string // every request, in order
	times     []time.Time

	challenge  []string         // replaces the challenge of GET /v2/
	tokenReply http.HandlerFunc // replaces the token service
	registry   http.HandlerFunc // replaces what follows a good token
	catalog    string           // the scheme that _catalog takes
	running    int              // token calls under way
}

func newUpstream() *upstream {
	return &upstream{
		service: "harbor-registry", password: secret, catalog: "Basic", expiresIn: 1800,
		grants: map[string][]string{"team-a": {"pull"}, "library": {"pull"}},
		tokens: make(map[string]bool),
	}
}

// set changes the upstream while requests may be under way.
func (u *upstream) set(change func(*upstream)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change(u)
}

// requests returns what was asked since the last call, in order.
func (u *upstream) requests() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	log := u.log
	u.log, u.times = nil, nil
	return log
}

func count(log []string, prefix string) int {
	n := 0
	for _, line := range log {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// RoundTrip serves as the transport of the cache and of the requests alike.
func (u *upstream) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	recorder := httptest.NewRecorder()
	u.serve(recorder, req)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	resp := recorder.Result()
	resp.Request = req
	return resp, nil
}

func (u *upstream) serve(w http.ResponseWriter, r *http.Request) {
	line := r.Method + " " + r.URL.Path
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if scheme != "" {
		line += " " + scheme
	}
	if scopes := r.URL.Query()["scope"]; len(scopes) > 0 {
		line += " " + strings.Join(scopes, " ")
	}
	u.mu.Lock()
	u.log, u.times = append(u.log, line), append(u.times, time.Now())
	u.mu.Unlock()
	w.Header().Set("Set-Cookie", "sid=1")
	if r.Header.Get("Cookie") != "" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	switch {
	case r.URL.Path == "/service/token":
		u.serveToken(w, r)
	case r.URL.Path == "/v2/_catalog":
		u.serveCatalog(w, r)
	default:
		u.serveRegistry(w, r)
	}
}

func (u *upstream) authenticates(r *http.Request) bool {
	name, password, _ := r.BasicAuth()
	return name == robot && password == u.password && !u.down
}

func (u *upstream) serveToken(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	delay, reply := u.delay, u.tokenReply
	u.running++
	u.mu.Unlock()
	defer u.set(func(u *upstream) { u.running-- })
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return
	}
	if reply != nil {
		reply(w, r)
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	scopes := r.URL.Query()["scope"]
	known := u.authenticates(r)
	if len(scopes) == 0 && !known {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	claims := jwt.MapClaims{"iss": "harbor-token-issuer", "aud": u.service, "jti": fmt.Sprint(len(u.issued)), "access": nil}
	if known {
		claims["sub"] = robot
	}
	var access []tokencache.Scope
	for _, text := range scopes {
		s, err := tokencache.ParseScope(text)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.Actions = []string{}
		if project, _, _ := strings.Cut(s.Name, "/"); !u.down && (known || project == "library") {
			s.Actions = append(s.Actions, u.grants[project]...)
		}
		access = append(access, s)
	}
	if len(access) > 0 {
		claims["access"] = access
	}
	u.write(w, claims)
}

// write answers with a token of those claims. u.mu is held.
func (u *upstream) write(w http.ResponseWriter, claims jwt.MapClaims) {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte("k"))
	if err != nil {
		panic(err)
	}
	u.tokens[token] = true
	u.issued = append(u.issued, token)
	reply := map[string]any{"token": token, "access_token": "", "issued_at": time.Now()}
	if u.expiresIn != nil {
		reply["expires_in"] = u.expiresIn
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(reply)
}

func (u *upstream) serveCatalog(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if scheme == u.catalog && (scheme == "Basic" && u.authenticates(r) || scheme == "Bearer" && u.tokens[token]) {
		_, _ = io.WriteString(w, `{"repositories":[]}`)
		return
	}
	w.Header().Set("Www-Authenticate", u.catalog+` realm="harbor"`)
	w.WriteHeader(http.StatusUnauthorized)
}

func (u *upstream) serveRegistry(w http.ResponseWriter, r *http.Request) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	u.mu.Lock()
	late := u.late
	if u.tokens[token] {
		late = 0
	}
	u.mu.Unlock()
	time.Sleep(late)
	u.mu.Lock()
	defer u.mu.Unlock()
	ping := r.URL.Path == "/v2/"
	switch {
	case scheme == "" && ping && u.challenge != nil:
		w.Header()["Www-Authenticate"] = u.challenge
		w.WriteHeader(http.StatusUnauthorized)
	case scheme == "":
		w.Header().Set("Www-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/service/token",service=%q`, r.URL.Host, u.service))
		w.WriteHeader(http.StatusUnauthorized)
	case scheme == "Basic" && u.authenticates(r), scheme == "Bearer" && u.tokens[token] && (ping || !u.down):
		if u.registry != nil {
			u.registry(w, r)
			return
		}
		_, _ = io.WriteString(w, "{}")
	case u.down:
		w.Header().Set("Www-Authenticate", "")
		w.WriteHeader(http.StatusUnauthorized)
	default:
		w.Header().Set("Www-Authenticate", `Basic realm="harbor"`)
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// revoke makes every token so far worthless.
func (u *upstream) revoke() { u.set(func(u *upstream) { clear(u.tokens) }) }

func (u *upstream) health(context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.log, u.times = append(u.log, "health"), append(u.times, time.Now())
	return u.ill
}

// A client is a cache before an upstream, with all that it says.
type client struct {
	*upstream
	cache *tokencache.Cache
	logs  *observer.ObservedLogs

	eventsMu sync.Mutex // guards events
	events   []string
	configMu sync.Mutex // guards config
	config   tokencache.Credentials
}

func (c *client) ExchangeDone(result string, _ time.Duration) { c.event("exchange " + result) }
func (c *client) CredentialChanged(state string)              { c.event("credential " + state) }
func (c *client) event(e string) {
	c.eventsMu.Lock()
	defer c.eventsMu.Unlock()
	c.events = append(c.events, e)
}

func (c *client) configure(creds tokencache.Credentials) {
	c.configMu.Lock()
	defer c.configMu.Unlock()
	c.config = creds
}

// newClient closes the cache at the end of the test, which also proves that
// nothing is left running: a bubble fails on goroutines that remain.
func newClient(t *testing.T, u *upstream, change ...func(*tokencache.Options)) *client {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	c := &client{upstream: u, logs: logs, config: tokencache.Credentials{Username: robot, Password: secret}}
	options := tokencache.Options{
		Registry: parse("http://harbor.test"), Transport: u, Health: u.health, Events: c, Log: zap.New(core),
		Credentials: func() (tokencache.Credentials, error) {
			c.configMu.Lock()
			defer c.configMu.Unlock()
			return c.config, nil
		},
	}
	for _, f := range change {
		f(&options)
	}
	cache, err := tokencache.New(options)
	if err != nil {
		t.Fatal(err)
	}
	c.cache = cache
	t.Cleanup(func() {
		if err := cache.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func parse(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}

func scope(text string) tokencache.Scope {
	s, err := tokencache.ParseScope(text)
	if err != nil {
		panic(err)
	}
	return s
}

// get asks for something of a repository with its pull scope; a catalog path gets
// the catalog's.
func (c *client) get(ctx context.Context, path string) (int, error) {
	s := tokencache.Scope{Type: "registry", Name: "catalog", Actions: []string{"*"}}
	if path != "/v2/_catalog" {
		name := strings.TrimPrefix(path, "/v2/")
		for _, end := range []string{"/manifests/", "/blobs/", "/tags/"} {
			name, _, _ = strings.Cut(name, end)
		}
		s = tokencache.Scope{Type: "repository", Name: name, Actions: []string{"pull"}}
	}
	req, err := http.NewRequestWithContext(tokencache.WithScope(ctx, s), http.MethodGet, "http://harbor.test"+path, nil)
	if err != nil {
		return 0, err
	}
	return c.send(req)
}

func (c *client) send(req *http.Request) (int, error) {
	resp, err := c.cache.Transport(c.upstream).RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

// ok fails unless the path is answered 200.
func (c *client) ok(t *testing.T, path string) {
	t.Helper()
	if status, err := c.get(t.Context(), path); err != nil || status != http.StatusOK {
		t.Fatalf("GET %s = %d, %v, want 200", path, status, err)
	}
}

// fails returns the error that the path ends in.
func fails[E error](t *testing.T, c *client, path string) E {
	t.Helper()
	status, err := c.get(t.Context(), path)
	var want E
	if !errors.As(err, &want) {
		t.Fatalf("GET %s = %d, %v (%T), want a %T", path, status, err, err, want)
	}
	return want
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// printsNoSecret looks for passwords and tokens in everything that was said.
func (c *client) printsNoSecret(t *testing.T, texts ...any) {
	t.Helper()
	var said strings.Builder
	for _, entry := range c.logs.All() {
		fmt.Fprintf(&said, "%s %v\n", entry.Message, entry.ContextMap())
	}
	for _, text := range texts {
		fmt.Fprintf(&said, "%v %+v\n", text, text)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	hidden := append(slices.Clone(c.issued), secret, "wrong-and-secret")
	for _, s := range hidden {
		if strings.Contains(said.String(), s) {
			t.Errorf("%q was printed:\n%s", s, said.String())
		}
	}
}

func wrong() tokencache.Credentials {
	return tokencache.Credentials{Username: robot, Password: redact.Secret("wrong-and-secret")}
}
