package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"breakwater/internal/harbortest"
	"breakwater/internal/redact"
	"breakwater/proxy/registry"
	"breakwater/tokencache"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// harborWorld is a Harbor, a gate of harbor mode before it, and an account of our own,
// all in one bubble.
type harborWorld struct {
	*testing.T
	*harbortest.Harbor
	server *harbortest.Server
	direct *http.Transport // to Harbor, past us
	tokens *tokencache.Cache
	mode   *Harbor
	gate   *Gate
	events *counted
	log    *zap.Logger
	before func(question string) // if set, is told of each: "grant", or "ask" with the number of scopes
	logs   *observer.ObservedLogs

	mu   sync.Mutex
	told strings.Builder // guarded by mu; whatever was answered
}

const somewhere = "192.0.2.1"

func inHarborWorld(t *testing.T, run func(*harborWorld)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &harborWorld{T: t, Harbor: harbortest.New()}
		if err := harbortest.Seed(w.Harbor); err != nil {
			t.Fatal(err)
		}
		w.server = w.StartInMemory()
		w.direct = w.server.Transport()
		origin, err := url.Parse(w.server.URL)
		if err != nil {
			t.Fatal(err)
		}
		core, logs := observer.New(zapcore.DebugLevel)
		w.logs = logs
		w.tokens, err = tokencache.New(tokencache.Options{
			Registry: origin, Transport: w.direct, Health: w.Health, Log: zap.New(core),
			Credentials: func() (tokencache.Credentials, error) {
				return tokencache.Credentials{
					Username: harbortest.Everything, Password: redact.Secret(harbortest.Password(harbortest.Everything)),
				}, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.log = zap.New(core)
		w.open()
		run(w)
		w.close()
		w.tellsNoSecret()
		if err := w.tokens.Close(); err != nil {
			t.Error(err)
		}
		w.direct.CloseIdleConnections()
		if err := w.server.Close(); err != nil {
			t.Error(err)
		}
	})
}

// open opens a gate that remembers nothing, and forgets what Harbor was asked.
func (w *harborWorld) open() {
	w.events = newCounted()
	w.mode = NewHarbor(HarborOptions{Upstream: w, Listener: "test", Events: w.events, Log: w.log})
	w.gate, _ = gateOf(w.mode, Everything(), false)
	w.gate.Events = w.events
	w.ResetRequests()
}

func (w *harborWorld) close() {
	if err := w.gate.Close(); err != nil {
		w.Error(err)
	}
}

// Ask implements [Asker], as Grant and Health do.
func (w *harborWorld) Ask(ctx context.Context, theirs tokencache.Credentials, scopes ...tokencache.Scope) (tokencache.Grant, error) {
	w.about(fmt.Sprintf("ask %d", len(scopes)))
	return w.tokens.Ask(ctx, theirs, scopes...)
}

func (w *harborWorld) Grant(ctx context.Context, s tokencache.Scope) (tokencache.Grant, error) {
	w.about("grant")
	return w.tokens.Grant(ctx, s)
}

func (w *harborWorld) about(question string) {
	if w.before != nil {
		w.before(question)
	}
}

func (w *harborWorld) Health(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+"/api/v2.0/health", nil)
	if err != nil {
		return err
	}
	resp, err := w.direct.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var health struct {
		Components []struct{ Name, Status string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&health); err != nil {
		return err
	}
	for _, part := range health.Components {
		if part.Name == "database" && part.Status != "healthy" {
			return errors.New("the database is " + part.Status)
		}
	}
	return nil
}

// come is one request for something of a repository, of somebody from somewhere; ""
// is for GET /v2/. It tells what came of it in one word: ok, or why not.
func (w *harborWorld) come(from, username, password, repository string) string {
	err := w.answer(w.Context(), from, username, password, repository)
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(&w.told, "%v %+v\n", err, err)
	return word(err)
}

func (w *harborWorld) answer(ctx context.Context, from, username, password, repository string) error {
	r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	if repository != "" {
		r = httptest.NewRequest(http.MethodGet, "/v2/"+repository+"/tags/list", nil)
	}
	r.RemoteAddr = from + ":40000"
	r.SetBasicAuth(username, password)
	client, err := w.gate.Authenticate(ctx, r)
	if err != nil {
		return err
	}
	return w.gate.Authorise(ctx, client, registry.KindTags, called(repository))
}

// right is come with the right password, from somewhere.
func (w *harborWorld) right(username, repository string) string {
	return w.come(somewhere, username, harbortest.Password(username), repository)
}

func word(err error) string {
	if err == nil {
		return "ok"
	}
	if refusal, ok := err.(*Refusal); ok {
		return string(refusal.Why)
	}
	return err.Error()
}

func (w *harborWorld) want(want, got string) {
	w.Helper()
	if got != want {
		w.Errorf("%s, want %s\n%s", got, want, w.said())
	}
}

// guess tries a wrong password at Harbor itself, past us.
func (w *harborWorld) guess(username string) {
	req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, w.server.URL+"/service/token?service=harbor-registry", nil)
	if err != nil {
		w.Error(err)
		return
	}
	req.SetBasicAuth(username, "a guess")
	resp, err := w.direct.RoundTrip(req)
	if err != nil {
		w.Error(err)
		return
	}
	_ = resp.Body.Close()
}

// asked lists the questions to the token service since the last call: whose name was
// in it, and how many scopes.
func (w *harborWorld) asked() []string {
	var lines []string
	for _, r := range w.Requests() {
		if r.IsToken() {
			query, err := url.ParseQuery(r.Query)
			if err != nil {
				w.Error(err)
			}
			lines = append(lines, fmt.Sprintf("%s %d", query.Get("account"), len(query["scope"])))
		}
	}
	w.ResetRequests()
	return lines
}

func (w *harborWorld) wantAsked(want ...string) {
	w.Helper()
	if got := w.asked(); strings.Join(got, ", ") != strings.Join(want, ", ") {
		w.Errorf("Harbor was asked about %q, want %q", got, want)
	}
}

func (w *harborWorld) said() string {
	var said strings.Builder
	for _, entry := range w.logs.All() {
		fmt.Fprintf(&said, "%s %v\n", entry.Message, entry.ContextMap())
	}
	return said.String()
}

// tellsNoSecret looks for what Harbor keeps secret in logs and answers. Wrong
// passwords hold the word guess.
func (w *harborWorld) tellsNoSecret() {
	said := w.said() + w.told.String()
	for _, secret := range append(w.Secrets(), "guess") {
		if strings.Contains(said, secret) {
			w.Errorf("%q was told:\n%s", secret, said)
		}
	}
}

// scoped and its kin match questions to the token service.
func scoped(r *http.Request) bool {
	return harbortest.Tokens(r) && r.URL.Query().Has("scope")
}

// scopeless are not those of guess, which does not name the account twice.
func scopeless(r *http.Request) bool {
	return harbortest.Tokens(r) && !r.URL.Query().Has("scope") && r.URL.Query().Has("account")
}

func about(username string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return harbortest.Tokens(r) && r.URL.Query().Get("account") == username
	}
}
