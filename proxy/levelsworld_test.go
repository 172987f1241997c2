package proxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"time"

	"breakwater/blobcache"
	"breakwater/internal/harbortest"
	"breakwater/internal/redact"
	"breakwater/proxy/registry"
	"breakwater/tokencache"
)

// level is a bubble's Breakwater as another one's upstream.
type level struct {
	below  *bubble
	tokens *tokencache.Cache

	mu     sync.Mutex // guards all below
	asked  []string   // "GET /v2/… Range"
	absent bool       // nobody answers there
	status int        // answered to all questions for blobs; 0: what is to be said
	beyond bool       // it was said to be of what lies beyond
	cut    int64      // the next blob breaks off after so many bytes
}

func (*level) Name() string  { return "regional" }
func (*level) URL() *url.URL { return &url.URL{Scheme: "http", Host: "regional.test"} }
func (l *level) Grant(ctx context.Context, s tokencache.Scope) (tokencache.Grant, error) {
	return l.tokens.Grant(ctx, s)
}
func (l *level) TokenService() bool                           { return l.tokens.TokenService() }
func (l *level) Distrust(s tokencache.Scope)                  { l.tokens.Distrust(s) }
func (l *level) Exchanged(s tokencache.Scope) time.Time       { return l.tokens.Exchanged(s) }
func (l *level) Held(s tokencache.Scope) tokencache.Holding   { return l.tokens.Held(s) }
func (l *level) Reading(r registry.Request) http.RoundTripper { return l.tokens.Transport(l) }

// RoundTrip implements [http.RoundTripper].
func (l *level) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	l.mu.Lock()
	absent, cut, status, beyond := l.absent, l.cut, l.status, l.beyond
	if harbortest.Blobs(req) {
		l.cut = 0
	}
	l.asked = append(l.asked, strings.TrimSpace(req.Method+" "+req.URL.RequestURI()+" "+req.Header.Get("Range")))
	l.mu.Unlock()
	if absent {
		return nil, errors.New("connection refused")
	}
	defer func() {
		if recover() != nil {
			resp, err = nil, io.ErrUnexpectedEOF // http.ErrAbortHandler
		}
	}()
	arriving := httptest.NewRequestWithContext(req.Context(), req.Method, req.URL.RequestURI(), nil)
	arriving.Header = req.Header.Clone()
	recorder := httptest.NewRecorder()
	if status != 0 && harbortest.Blobs(req) {
		if beyond {
			recorder.Header().Set("Proxy-Status", "breakwater; received-status=401")
		}
		recorder.WriteHeader(status)
		return recorder.Result(), nil
	}
	l.below.proxy.Behind(l.below.gate, l.below.policy.usual).ServeHTTP(recorder, arriving)
	resp = recorder.Result()
	resp.Request = req
	if cut > 0 && harbortest.Blobs(req) {
		resp.Body = io.NopCloser(io.MultiReader(io.LimitReader(resp.Body, cut), broken{}))
	}
	return resp, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func (l *level) set(change func(*level)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// questions are those since the last call.
func (l *level) questions() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := l.asked
	l.asked = nil
	return asked
}

// node is a Breakwater before the bubble's. token may be nil.
func (b *bubble) node(token func() (redact.Secret, error)) (*bubble, *level) {
	b.Helper()
	n := &bubble{world: &world{T: b.T, dir: b.TempDir(), policy: nodes(), gate: openGate(), log: &syncBuffer{}, events: &events{}}}
	l := &level{below: b}
	log := n.newLog()
	var err error
	if l.tokens, err = tokencache.New(tokencache.Options{Registry: l.URL(), Transport: l, BearerToken: token, Log: log}); err != nil {
		b.Fatal(err)
	}
	n.cache, err = blobcache.Open(b.Context(), blobcache.Options{Dir: n.dir, MaxSize: 1 << 30, Memory: 16 << 20, Events: n.events, Log: log})
	if err != nil {
		b.Fatal(err)
	}
	n.proxy = n.policy.over(l, n.cache, n.events, log)
	b.ending = append(b.ending, func() error {
		n.nothingSecret()
		return errors.Join(n.proxy.Close(), l.tokens.Close(), n.cache.Close())
	})
	return n, l
}
