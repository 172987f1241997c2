package proxy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/blobcache"
	"breakwater/internal/harbortest"
	"breakwater/internal/pattern"
	"breakwater/internal/redact"
	"breakwater/proxy"
	"breakwater/proxy/access"
	"breakwater/proxy/route"
	"breakwater/proxy/upstream"
	"breakwater/tokencache"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// world is a Harbor with one Breakwater before it, and all that they wrote.
type world struct {
	*testing.T
	harbor *harbortest.Harbor
	origin *harbortest.Server // nil when the upstream is not a Harbor
	url    string             // of Breakwater
	client *upstream.Client
	cache  *blobcache.Cache
	log    *syncBuffer
	events *events
	stop   func()       // ends Breakwater, the cache's folder stays
	gate   *access.Gate // nil at the start: everybody's

	dir    string // of the cache
	policy settings

	mu       sync.Mutex
	password string
	answers  bytes.Buffer // header and body of every answer that a client got
	shown    []string     // what clients proved themselves with, as secrets
	upstream bytes.Buffer // requests that reached Harbor, but those to its token service
}

// account of the tests that are not about rights.
const account = harbortest.Everything

// newWorld starts a seeded Harbor and a Breakwater with the account's right
// password.
func newWorld(t *testing.T, account string) *world {
	t.Helper()
	w := &world{T: t, harbor: harbortest.New(), password: harbortest.Password(account), dir: t.TempDir(), policy: defaults()}
	if err := harbortest.Seed(w.harbor); err != nil {
		t.Fatal(err)
	}
	w.harbor.SetLoginDelay(0)
	origin, err := w.harbor.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = origin.Close() })
	w.origin = origin
	w.observe()
	w.start(origin.URL, account)
	t.Cleanup(func() { w.stop(); w.nothingSecret() })
	return w
}

// settings are what an operator would write.
type settings struct {
	proxy.Policy
	routes []route.Route
	usual  string
}

// defaults are those of the configuration. Harbor has its own name, by which its names
// are usual; its proxy-cache project is Docker Hub.
func defaults() settings {
	return settings{
		Policy: proxy.Policy{
			StaleIfError: 168 * time.Hour, AccessTTL: 30 * time.Minute,
			DenialConfirm: 30 * time.Second, RecordPull: 24 * time.Hour, ProxySettle: 15 * time.Minute,
		},
		routes: []route.Route{
			{Name: "harbor.example.com", Upstream: "harbor", Repositories: pattern.All("**"), TagTTL: 10 * time.Second},
			{Name: "docker.io", Upstream: "harbor", Prefix: "hub-proxy", Repositories: pattern.All("**"), ProxyCache: true, TagTTL: 15 * time.Minute},
		},
		usual: "harbor.example.com",
	}
}

// over is a Proxy with these settings.
func (s settings) over(u proxy.Upstream, cache *blobcache.Cache, events proxy.Events, log *zap.Logger) *proxy.Proxy {
	return proxy.New(proxy.Options{
		Routes: route.New(s.routes), Origins: []proxy.Origin{{Upstream: u, Policy: s.Policy}},
		Cache: cache, UserAgent: "breakwater/test", Events: events, Log: log,
	})
}

// openGate lets in everybody to everything.
func openGate() *access.Gate {
	return access.New(access.Options{
		Listener: "test", Mode: access.NewAnonymous([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}), Allow: access.Everything(),
		Limits: access.Limits{Connections: 1 << 20, AddressPulls: 1 << 20, SubjectPulls: 1 << 20},
		Events: &events{},
	})
}

// before starts a Breakwater before any handler, without an account.
func before(t *testing.T, handler http.Handler) *world {
	t.Helper()
	return behind(t, nil, handler)
}

// oneRoute leaves only that to Harbor under its own name.
func oneRoute(s *settings) { s.routes = s.routes[:1] }

// behind is before, with a gate of one's own.
func behind(t *testing.T, gate *access.Gate, handler http.Handler, changes ...func(*settings)) *world {
	t.Helper()
	origin := httptest.NewServer(handler)
	t.Cleanup(origin.Close)
	w := &world{T: t, dir: t.TempDir(), policy: defaults(), gate: gate}
	for _, change := range changes {
		change(&w.policy)
	}
	w.start(origin.URL, "")
	t.Cleanup(func() { w.stop(); w.nothingSecret() })
	return w
}

// observe keeps what reaches Harbor, whatever becomes of its own log.
func (w *world) observe() {
	w.harbor.AddFault(harbortest.Fault{Match: func(r *http.Request) bool {
		if !harbortest.Tokens(r) {
			w.mu.Lock()
			defer w.mu.Unlock()
			_, _ = fmt.Fprintln(&w.upstream, r.Method, r.URL)
			_ = r.Header.Write(&w.upstream)
		}
		return false
	}})
}

// clearFaults takes all faults away, and goes on to observe.
func (w *world) clearFaults() {
	w.harbor.ClearFaults()
	w.observe()
}

// newLog returns a logger of all that w.log is to hold.
func (w *world) newLog() *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), w.log, zap.DebugLevel))
}

// clientOf asks one more upstream, as whoever login says.
func (w *world) clientOf(name, origin string, login func() (username, password string)) *upstream.Client {
	w.Helper()
	target, err := url.Parse(origin)
	if err != nil {
		w.Fatal(err)
	}
	client, err := upstream.New(upstream.Options{
		Name: name, URL: target,
		Credentials: func() (tokencache.Credentials, error) {
			username, password := login()
			return tokencache.Credentials{Username: username, Password: redact.Secret(password)}, nil
		},
		Redirects: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Proxy:     func(*http.Request) (*url.URL, error) { return nil, nil },
		Events:    w.events, Log: w.newLog(),
	})
	if err != nil {
		w.Fatal(err)
	}
	return client
}

func (w *world) start(origin, account string) {
	w.Helper()
	w.log, w.events = &syncBuffer{}, &events{}
	log := w.newLog()
	w.client = w.clientOf("harbor", origin, func() (string, string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return account, w.password
	})
	var err error
	w.cache, err = blobcache.Open(w.Context(), blobcache.Options{
		Dir: w.dir, MaxSize: 1 << 30, Memory: 16 << 20, LockWait: 5 * time.Second, Events: w.events, Log: log,
	})
	if err != nil {
		w.Fatal(err)
	}
	registry := w.policy.over(w.client, w.cache, w.events, log)
	if w.gate == nil {
		w.gate = openGate()
	}
	server := httptest.NewServer(registry.Behind(w.gate, w.policy.usual))
	w.url = server.URL
	w.stop = sync.OnceFunc(func() {
		server.Close()
		if err := errors.Join(registry.Close(), w.client.Close(), w.cache.Close()); err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(w.stop)
}

// answer is what a client got.
type answer struct {
	*http.Response
	body []byte
	err  error // of reading the body
}

// send makes one request as it is written: "GET /v2/", headers as
// "Name: value".
func (w *world) send(request string, headers ...string) answer {
	w.Helper()
	method, target, _ := strings.Cut(request, " ")
	req, err := http.NewRequestWithContext(w.Context(), method, w.url+target, nil)
	if err != nil {
		w.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	w.shows(req)
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		w.Fatalf("%s: %v", request, err)
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{Response: resp}
	a.body, a.err = io.ReadAll(resp.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = resp.Header.Write(&w.answers)
	_, _ = w.answers.Write(a.body)
	return a
}

// get is send with the status that it must have.
func (w *world) get(status int, request string, headers ...string) answer {
	w.Helper()
	a := w.send(request, headers...)
	if a.StatusCode != status {
		w.Fatalf("%s: %s, want %d\n%s\n%s", request, a.Status, status, a.body, w.log)
	}
	return a
}

// refused is get with the registry error code that the answer must carry.
func (w *world) refused(status int, code, request string, headers ...string) answer {
	w.Helper()
	a := w.get(status, request, headers...)
	if !strings.HasPrefix(string(a.body), `{"errors":[{"code":"`+code+`","message":"`) || a.Header.Get("Content-Type") != "application/json" {
		w.Fatalf("%s: %s %s, want a registry error %s", request, a.Header.Get("Content-Type"), a.body, code)
	}
	return a
}

// saw are the requests that reached Harbor since the last call, as
// "GET /path?query Scheme status".
func (w *world) saw() []string {
	var lines []string
	for _, r := range w.harbor.Requests() {
		line := r.Method + " " + r.Path
		if r.Query != "" {
			line += "?" + r.Query
		}
		if r.Scheme != "" {
			line += " " + r.Scheme
		}
		lines = append(lines, fmt.Sprintf("%s %d", line, r.Status))
	}
	w.harbor.ResetRequests()
	return lines
}

// expect compares saw with what it must be.
func (w *world) expect(want ...string) {
	w.Helper()
	if got := w.saw(); !slices.Equal(got, want) {
		w.Fatalf("Harbor saw\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// warm learns challenge and token of a project, and forgets the requests.
func (w *world) warm(repository string) {
	w.Helper()
	w.get(200, "GET /v2/"+repository+"/tags/list")
	w.harbor.ResetRequests()
}

// tokens counts the questions to the token service since the last reset.
func (w *world) tokens() int {
	return w.harbor.Count(func(r harbortest.Request) bool { return r.Path == "/service/token" })
}

// syncBuffer is a log that can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) Sync() error { return nil }

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// events remembers what metrics would have been told.
type events struct {
	mu         sync.Mutex
	inFlight   int
	served     []proxy.Served
	mismatches int
	upstream   []int
	exchanges  []string
	states     []string
	refusals   []access.Why
	checks     []access.Result
	cache      []string // what the cache told, in words
}

func (e *events) note(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

func (e *events) RequestBegan() { e.note(func() { e.inFlight++ }) }
func (e *events) RequestServed(s proxy.Served) {
	e.note(func() { e.inFlight--; e.served = append(e.served, s) })
}
func (e *events) ClientRefused(_ string, why access.Why) {
	e.note(func() { e.refusals = append(e.refusals, why) })
}
func (e *events) CredentialsChecked(_ string, result access.Result) {
	e.note(func() { e.checks = append(e.checks, result) })
}
func (e *events) DigestMismatch(string, string) { e.note(func() { e.mismatches++ }) }
func (e *events) UpstreamAnswered(_, _ string, status int, _ time.Duration) {
	e.note(func() { e.upstream = append(e.upstream, status) })
}
func (e *events) TokenExchanged(_, result string, _ time.Duration) {
	e.note(func() { e.exchanges = append(e.exchanges, result) })
}
func (e *events) CredentialChanged(_, state string) {
	e.note(func() { e.states = append(e.states, state) })
}

func (e *events) say(format string, args ...any) {
	e.note(func() { e.cache = append(e.cache, fmt.Sprintf(format, args...)) })
}

func (e *events) Fetched(_, kind string, _ int64)             { e.say("fetched %s", kind) }
func (e *events) TagChecked(_, result string)                 { e.say("tag %s", result) }
func (e *events) LinkProven(_, result string)                 { e.say("link %s", result) }
func (e *events) DenialChanged(_, state string)               { e.say("denial %s", state) }
func (e *events) PullReported(_, result string)               { e.say("pull %s", result) }
func (e *events) StaleServed(_, kind string, _ time.Duration) { e.say("stale %s", kind) }
func (e *events) Evicted(reason string, _ time.Duration)      { e.say("evicted %s", reason) }
func (e *events) Damaged(how string)                          { e.say("damaged %s", how) }
func (e *events) Failed(operation string)                     { e.say("failed %s", operation) }
func (e *events) FillEnded(result string, _ int64)            { e.say("fill %s", result) }
func (e *events) Joined()                                     { e.say("joined") }
func (e *events) Resumed()                                    { e.say("resumed") }
func (e *events) SegmentFetched()                             { e.say("segment") }
func (e *events) Bypassed(reason string)                      { e.say("bypassed %s", reason) }
func (e *events) Received(int)                                {}
func (e *events) IndexDamaged()                               { e.say("index damaged") }
func (e *events) IndexFailed(operation string)                { e.say("index failed %s", operation) }

// told counts what the cache told in those words.
func (e *events) told(what string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, said := range e.cache {
		if said == what {
			n++
		}
	}
	return n
}

// last returns the newest count, once the handler that makes it has ended.
func (e *events) last(t *testing.T) proxy.Served {
	t.Helper()
	for range 500 {
		e.mu.Lock()
		if e.inFlight == 0 && len(e.served) > 0 {
			defer e.mu.Unlock()
			return e.served[len(e.served)-1]
		}
		e.mu.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("a request never ended")
	return proxy.Served{}
}
