package proxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/blobcache"
	"breakwater/internal/harbortest"
	"breakwater/internal/redact"
	"breakwater/proxy"
	"breakwater/proxy/registry"
	"breakwater/proxy/upstream"
	"breakwater/tokencache"

	"github.com/opencontainers/go-digest"
)

// bubble is a Harbor with one Breakwater before it, both within a
// testing/synctest bubble: hours pass in no time.
type bubble struct {
	*world
	proxy  *proxy.Proxy
	direct *direct
	ending []func() error // of what a test put before it
}

// inBubble runs a test before a seeded Harbor that is reached without a network.
func inBubble(t *testing.T, account string, change func(*settings), run func(*bubble)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, harbor: harbortest.New(), password: harbortest.Password(account), dir: dir, policy: defaults()}
		if change != nil {
			change(&w.policy)
		}
		if err := harbortest.Seed(w.harbor); err != nil {
			t.Fatal(err)
		}
		w.harbor.SetLoginDelay(0)
		w.origin = w.harbor.StartInMemory()
		w.observe()
		w.log, w.events = &syncBuffer{}, &events{}
		b := &bubble{world: w}
		b.open(account)
		defer func() {
			for _, end := range b.ending {
				if err := end(); err != nil {
					t.Error(err)
				}
			}
			b.stop()
			w.nothingSecret()
			if err := w.origin.Close(); err != nil {
				t.Error(err)
			}
		}()
		run(b)
	})
}

func (b *bubble) open(account string) {
	b.Helper()
	log := b.newLog()
	target, err := url.Parse(b.origin.URL)
	if err != nil {
		b.Fatal(err)
	}
	direct := &direct{target: target, transport: b.origin.Transport()}
	b.direct = direct
	direct.tokens, err = tokencache.New(tokencache.Options{
		Registry: target, Transport: direct.transport, Health: direct.Health, Log: log,
		Credentials: func() (tokencache.Credentials, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			return tokencache.Credentials{Username: account, Password: redact.Secret(b.password)}, nil
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.cache, err = blobcache.Open(b.Context(), blobcache.Options{Dir: b.dir, MaxSize: 1 << 30, Memory: 16 << 20, Events: b.events, Log: log})
	if err != nil {
		b.Fatal(err)
	}
	if b.gate == nil {
		b.gate = openGate()
	}
	b.proxy = b.policy.over(direct, b.cache, b.events, log)
	b.stop = sync.OnceFunc(func() {
		if err := errors.Join(b.proxy.Close(), direct.tokens.Close(), b.cache.Close()); err != nil {
			b.Error(err)
		}
		direct.transport.CloseIdleConnections()
	})
}

// reopen ends Breakwater and starts it on the same folder.
func (b *bubble) reopen(account string) {
	b.Helper()
	b.stop()
	b.open(account)
}

// send makes one request, as [world.send] does.
func (b *bubble) send(request string, headers ...string) answer {
	b.Helper()
	return b.serve(b.request(request, headers...))
}

func (b *bubble) request(request string, headers ...string) *http.Request {
	method, target, _ := strings.Cut(request, " ")
	req := httptest.NewRequestWithContext(b.Context(), method, target, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	return req
}

// serve is for requests that are more than text: by TLS, or from somewhere.
func (b *bubble) serve(req *http.Request) answer {
	b.Helper()
	b.shows(req)
	recorder := httptest.NewRecorder()
	b.proxy.Behind(b.gate, b.policy.usual).ServeHTTP(recorder, req)
	a := answer{Response: recorder.Result(), body: recorder.Body.Bytes()}
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = a.Header.Write(&b.answers)
	b.answers.Write(a.body)
	return a
}

func (b *bubble) get(status int, request string, headers ...string) answer {
	b.Helper()
	a := b.send(request, headers...)
	if a.StatusCode != status {
		b.Fatalf("%s: %s, want %d\n%s\n%s", request, a.Status, status, a.body, b.log)
	}
	return a
}

// pass lets time go by, and what is done in the background come to its end.
func (b *bubble) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// pull pulls an image, or all images of an index, as a client does, and returns
// the manifest.
func (b *bubble) pull(repository, reference string) answer {
	b.Helper()
	b.get(200, "HEAD /v2/"+repository+"/manifests/"+reference)
	manifest := b.get(200, "GET /v2/"+repository+"/manifests/"+reference)
	for _, child := range listed(b.T, manifest.body) {
		if child.manifest {
			b.pull(repository, child.digest.String())
			continue
		}
		blob := b.get(200, "GET /v2/"+repository+"/blobs/"+child.digest.String())
		if digest.FromBytes(blob.body) != child.digest {
			b.Fatalf("the blob %s has other bytes", child.digest)
		}
	}
	return manifest
}

type child struct {
	digest   digest.Digest
	manifest bool
}

func listed(t *testing.T, body []byte) []child {
	t.Helper()
	type descriptor struct{ Digest digest.Digest }
	var document struct {
		Config            *descriptor
		Layers, Manifests []descriptor
	}
	if err := json.Unmarshal(body, &document); err != nil {
		t.Fatal(err)
	}
	var found []child
	if document.Config != nil {
		found = append(found, child{document.Config.Digest, false})
	}
	for _, layer := range document.Layers {
		found = append(found, child{layer.Digest, false})
	}
	for _, manifest := range document.Manifests {
		found = append(found, child{manifest.Digest, true})
	}
	return found
}

// content are the requests to the registry that Harbor saw: all but those for
// tokens and its health.
func (b *bubble) content() []string {
	var found []string
	for _, line := range b.saw() {
		if strings.Contains(line, " /v2/") && !strings.Contains(line, " /v2/ ") {
			found = append(found, line)
		}
	}
	return found
}

// direct is an upstream without the retries and transports of package upstream,
// which have no place in a bubble.
type direct struct {
	target    *url.URL
	transport *http.Transport
	tokens    *tokencache.Cache
}

func (d *direct) Name() string  { return "harbor" }
func (d *direct) URL() *url.URL { return d.target }
func (d *direct) Grant(ctx context.Context, s tokencache.Scope) (tokencache.Grant, error) {
	return d.tokens.Grant(ctx, s)
}
func (d *direct) Ask(ctx context.Context, theirs tokencache.Credentials, scopes ...tokencache.Scope) (tokencache.Grant, error) {
	return d.tokens.Ask(ctx, theirs, scopes...)
}
func (d *direct) TokenService() bool                         { return d.tokens.TokenService() }
func (d *direct) Held(s tokencache.Scope) tokencache.Holding { return d.tokens.Held(s) }
func (d *direct) Distrust(s tokencache.Scope)                { d.tokens.Distrust(s) }
func (d *direct) Exchanged(s tokencache.Scope) time.Time     { return d.tokens.Exchanged(s) }
func (d *direct) Reading(r registry.Request) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		return d.tokens.Transport(d.transport).RoundTrip(req.WithContext(tokencache.WithScope(req.Context(), upstream.Scopes(r)...)))
	})
}

// Health asks as package upstream does.
func (d *direct) Health(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.target.String()+"/api/v2.0/health", nil)
	if err != nil {
		return err
	}
	resp, err := d.transport.RoundTrip(req)
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
	for _, component := range health.Components {
		if (component.Name == "database" || component.Name == "core") && component.Status == "unhealthy" {
			return errors.New(component.Name + " is unhealthy")
		}
	}
	return nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
