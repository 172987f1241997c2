package proxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/blobcache"
	"breakwater/proxy/registry"
	"breakwater/tokencache"

	"go.uber.org/zap"
)

// scripted is an upstream whose answers a test writes.
type scripted func(*http.Request) (*http.Response, error)

func (scripted) TokenService() bool { return true }

func (scripted) Held(tokencache.Scope) tokencache.Holding { return tokencache.Holding{} }

func (scripted) Name() string                                 { return "harbor" }
func (scripted) URL() *url.URL                                { return &url.URL{Scheme: "http", Host: "harbor.test"} }
func (s scripted) Reading(registry.Request) http.RoundTripper { return s }
func (scripted) Distrust(tokencache.Scope)                    {}
func (scripted) Exchanged(tokencache.Scope) time.Time         { return time.Now() }
func (scripted) Grant(context.Context, tokencache.Scope) (tokencache.Grant, error) {
	return tokencache.Grant{Opaque: true}, nil
}
func (s scripted) RoundTrip(req *http.Request) (*http.Response, error) { return s(req) }

// late answers a request after a time, or not at all when it is given up first.
func late(req *http.Request, after time.Duration, status int, header http.Header, body io.Reader) (*http.Response, error) {
	select {
	case <-req.Context().Done():
		return nil, context.Cause(req.Context())
	case <-time.After(after):
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(body), ContentLength: -1, Request: req}, nil
	}
}

// trickle gives a byte a second until its request is given up.
type trickle struct{ ctx context.Context }

func (t trickle) Read(p []byte) (int, error) {
	select {
	case <-t.ctx.Done():
		return 0, context.Cause(t.ctx)
	case <-time.After(time.Second):
		p[0] = ' '
		return 1, nil
	}
}

// Whatever upstream does, there is an answer within twelve seconds: a client's
// patience is fifteen.
func TestHeaderBudget(t *testing.T) {
	manifests := http.Header{"Content-Type": {registry.TypeOCIManifest}}
	for name, c := range map[string]struct {
		method, path string
		upstream     scripted
	}{
		"silence": {"GET", "/v2/a/manifests/1", func(r *http.Request) (*http.Response, error) {
			return late(r, time.Hour, 200, manifests, http.NoBody)
		}},
		"a HEAD that has to be a GET": {"HEAD", "/v2/a/manifests/1", func(r *http.Request) (*http.Response, error) {
			return late(r, 9*time.Second, 200, manifests, http.NoBody)
		}},
		"a trickled manifest": {"GET", "/v2/a/manifests/1", func(r *http.Request) (*http.Response, error) {
			return late(r, 0, 200, manifests, trickle{r.Context()})
		}},
		"a trickled refusal": {"GET", "/v2/a/manifests/1", func(r *http.Request) (*http.Response, error) {
			return late(r, 0, 404, http.Header{}, trickle{r.Context()})
		}},
		"a trickled blob": {"GET", "/v2/a/blobs/sha256:0000000000000000000000000000000000000000000000000000000000000000",
			func(r *http.Request) (*http.Response, error) {
				return late(r, 0, 200, http.Header{}, trickle{r.Context()})
			}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				told := new(events)
				cache, err := blobcache.Open(t.Context(), blobcache.Options{Dir: dir, MaxSize: 1 << 30, Memory: 1 << 20, Events: told, Log: zap.NewNop()})
				if err != nil {
					t.Fatal(err)
				}
				p := defaults().over(c.upstream, cache, told, zap.NewNop())
				began, got := time.Now(), httptest.NewRecorder()
				p.Behind(openGate(), defaults().usual).ServeHTTP(got, httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil))
				if took := time.Since(began); took > 12*time.Second {
					t.Errorf("it took %s", took)
				}
				if got.Code != 503 && got.Code != 404 {
					t.Errorf("%d %s", got.Code, got.Body)
				}
				if err := errors.Join(p.Close(), cache.Close()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
