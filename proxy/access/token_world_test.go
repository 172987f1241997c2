package access

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/redact"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

const (
	clusterIssuer = "https://cluster.example.com"
	ourAudience   = "breakwater"
	builder       = "system:serviceaccount:ci:builder"
)

// provider stands in for an issuer: it is what an [Issuer]'s client sends by, and
// answers discovery and keys.
type provider struct {
	mu       sync.Mutex // guards the rest
	says     string     // the issuer that it says it is
	jwksURI  string
	keys     []jose.JSONWebKey
	takes    time.Duration                                 // for each answer
	fault    func(http.ResponseWriter, *http.Request) bool // answers in its place
	down     bool
	requests []string // URL, and what was shown
}

func newProvider(issuer string, keys ...jose.JSONWebKey) *provider {
	return &provider{says: issuer, jwksURI: strings.TrimSuffix(issuer, "/") + "/keys", keys: keys}
}

// set changes the provider.
func (p *provider) set(change func(*provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *provider) rotate(keys ...jose.JSONWebKey) { p.set(func(p *provider) { p.keys = keys }) }

// RoundTrip implements [http.RoundTripper].
func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.requests = append(p.requests, strings.TrimSpace(r.URL.String()+" "+r.Header.Get("Authorization")))
	takes, down := p.takes, p.down
	p.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if down {
		return nil, errors.New("connection refused")
	}
	answer := httptest.NewRecorder()
	p.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// ServeHTTP implements [http.Handler].
func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var document any = jose.JSONWebKeySet{Keys: p.keys}
	if strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration") {
		document = map[string]string{"issuer": p.says, "jwks_uri": p.jwksURI}
	}
	if p.fault != nil && p.fault(w, r) {
		return
	}
	body, err := json.Marshal(document)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write(body)
}

// asked returns the requests since it was called last.
func (p *provider) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked := p.requests
	p.requests = nil
	return asked
}

// client is of an [Issuer].
func (p *provider) client() (*http.Client, error) { return &http.Client{Transport: p}, nil }

// file is a JWK set in place of a provider.
func (p *provider) file() ([]byte, error) {
	answer := httptest.NewRecorder()
	p.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/keys", nil))
	return io.ReadAll(answer.Body)
}

// signer is a key of a provider's.
type signer struct {
	testing.TB
	id     string
	method jwt.SigningMethod
	key    any // private
}

func newSigner(t testing.TB, id string) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{t, id, jwt.SigningMethodES256, key}
}

// jwk is its public half, as a provider publishes it.
func (s signer) jwk() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.key.(crypto.Signer).Public(), KeyID: s.id, Algorithm: s.method.Alg(), Use: "sig"}
}

// sign makes a token of claims that were changed, good for an hour.
func (s signer) sign(changes ...func(*jwt.Token)) string {
	s.Helper()
	now := time.Now()
	token := jwt.NewWithClaims(s.method, jwt.MapClaims{
		"iss": clusterIssuer, "aud": []string{ourAudience}, "sub": builder,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	token.Header["kid"] = s.id
	for _, change := range changes {
		change(token)
	}
	signed, err := token.SignedString(s.key)
	if err != nil {
		s.Fatal(err)
	}
	return signed
}

// claim sets a claim; nil takes it away.
func claim(name string, value any) func(*jwt.Token) {
	return func(t *jwt.Token) {
		t.Claims.(jwt.MapClaims)[name] = value
		if value == nil {
			delete(t.Claims.(jwt.MapClaims), name)
		}
	}
}

// field sets a field of the header; nil takes it away.
func field(name string, value any) func(*jwt.Token) {
	return func(t *jwt.Token) {
		t.Header[name] = value
		if value == nil {
			delete(t.Header, name)
		}
	}
}

// ending is a claim of an end so far from now.
func ending(in time.Duration) func(*jwt.Token) { return claim("exp", time.Now().Add(in).Unix()) }

// tokenWorld is a Token, and what is around it.
type tokenWorld struct {
	testing.TB
	*provider
	signer
	mode   *Token
	events *counted
	logged *observer.ObservedLogs
}

// trusted is an issuer as it is configured.
func trusted(p *provider) Issuer {
	return Issuer{Issuer: p.says, Audience: ourAudience, Client: p.client, SubjectClaim: "sub", GroupsClaim: "groups"}
}

// newTokenWorld is one issuer with one key, configured with changes.
func newTokenWorld(t testing.TB, changes ...func(*Issuer)) *tokenWorld {
	t.Helper()
	key := newSigner(t, "one")
	p := newProvider(clusterIssuer, key.jwk())
	issuer := trusted(p)
	for _, change := range changes {
		change(&issuer)
	}
	w := newTokenMode(t, issuer)
	w.provider, w.signer = p, key
	return w
}

func newTokenMode(t testing.TB, issuers ...Issuer) *tokenWorld {
	t.Helper()
	core, logged := observer.New(zapcore.DebugLevel)
	w := &tokenWorld{TB: t, events: newCounted(), logged: logged}
	mode, err := NewToken(TokenOptions{Issuers: issuers, Listener: ":5443", Events: w.events, Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	w.mode = mode
	t.Cleanup(func() {
		if err := mode.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// withFile configures a file of keys in place of discovery.
func withFile(read func() ([]byte, error)) func(*Issuer) {
	return func(i *Issuer) { i.JWKS, i.Client = read, nil }
}

// inTokenWorld runs in a bubble, where time passes as it is slept.
func inTokenWorld(t *testing.T, run func(*tokenWorld), changes ...func(*Issuer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { run(newTokenWorld(t, changes...)) })
}

// come authenticates with a bearer token: the subject, or why not.
func (w *tokenWorld) come(token string) string {
	return came(w.mode.Authenticate(context.Background(), bearing("Bearer "+token)))
}

func (w *tokenWorld) wantCome(token, want string) {
	w.Helper()
	if got := w.come(token); got != want {
		w.Errorf("%s, want %s", got, want)
	}
}

// wantQuestions compares how often the issuer was asked since the last time: each
// question is for its configuration and then for its keys.
func (w *tokenWorld) wantQuestions(want int) {
	w.Helper()
	if got := w.asked(); len(got) != 2*want {
		w.Errorf("the issuer saw %v, want %d questions", got, want)
	}
}

// wantLogged compares what was logged since the last time.
func (w *tokenWorld) wantLogged(want ...string) {
	w.Helper()
	var got []string
	for _, entry := range w.logged.TakeAll() {
		got = append(got, entry.Level.String()+" "+entry.Message)
	}
	if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
		w.Errorf("logged %q, want %q", got, want)
	}
}

func bearing(authorization ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	r.Header["Authorization"] = authorization
	return r
}

// hourly is a token to be shown to an issuer, another one each time.
func hourly() func() (redact.Secret, error) {
	n := 0
	return func() (redact.Secret, error) {
		n++
		return redact.Secret(fmt.Sprint("ours-", n)), nil
	}
}
