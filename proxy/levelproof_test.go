package proxy_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/blobcache"
	"breakwater/internal/harbortest"
	"breakwater/internal/pattern"
	"breakwater/proxy"
	"breakwater/proxy/route"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

// What a level before us has not seen itself, it has from whoever runs a registry behind a
// proxy-cache project, who can name any digest. Its 200 to such a question opens nothing
// that is held here.
func TestAHostileRegistryBehindALevelProvesNothing(t *testing.T) {
	secret := []byte(strings.Repeat("secret", 1000))
	layer := digest.FromBytes(secret)
	regional := before(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := secret
		if strings.HasPrefix(r.URL.Path, "/v2/hub-proxy/") {
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			body = []byte(strings.Repeat("x", len(secret)))
		}
		if strings.Contains(r.URL.Path, "/blobs/") {
			_, _ = w.Write(body)
		}
	}))
	n := node(t, regional.url, nil, nil)
	n.get(200, "GET /v2/team-a/app/blobs/"+layer.String())
	n.filled(layer.String())
	for _, name := range []string{"/v2/hub-proxy/evil", "/docker.io/v2/evil/x", "/v2/docker.io/evil/y"} {
		for range 2 {
			for _, method := range []string{"HEAD ", "GET "} {
				if a := n.send(method + name + "/blobs/" + layer.String()); a.StatusCode == 200 || strings.Contains(string(a.body), "secret") {
					t.Errorf("%s%s: %s %.20q, %s", method, name, a.Status, a.body, a.Header.Get("Cache-Status"))
				}
			}
		}
	}
	// Where the level has it and was given it for that very repository, a HEAD is enough.
	regional.get(200, "GET /v2/team-b/app/blobs/"+layer.String())
	got := n.get(200, "GET /v2/team-b/app/blobs/"+layer.String())
	if status := got.Header.Get("Cache-Status"); status != "breakwater; hit, breakwater; fwd=stale; fwd-status=200; detail=validated" {
		t.Errorf("held, and had by the level: %s", status)
	}
}

// Proxy-cache projects of one name at two upstreams are two places, and what comes from
// one is never waited for by whoever asks the other.
func TestPlacesOfOneNameAreApart(t *testing.T) {
	right := []byte(strings.Repeat("right", 100_000))
	layer := digest.FromBytes(right)
	asked, release := make(chan struct{}, 100), make(chan struct{})
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/blobs/") {
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(right)))
		_, _ = w.Write([]byte("wrong"))
		_ = http.NewResponseController(w).Flush()
		asked <- struct{}{}
		<-release
	}))
	t.Cleanup(evil.Close)
	w := before(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/blobs/") {
			_, _ = w.Write(right)
		}
	}))
	second := w.clientOf("second", evil.URL, func() (string, string) { return "", "" })
	t.Cleanup(func() { _ = second.Close() })
	cache, err := blobcache.Open(t.Context(), blobcache.Options{Dir: t.TempDir(), MaxSize: 1 << 30, Memory: 16 << 20, Events: w.events, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	hub := route.Route{Prefix: "hub-proxy", ProxyCache: true, Repositories: pattern.All("**"), TagTTL: time.Minute}
	one, two := hub, hub
	one.Name, one.Upstream, two.Name, two.Upstream = "docker.io", "harbor", "evil.io", "second"
	p := proxy.New(proxy.Options{
		Routes:  route.New([]route.Route{one, two}),
		Origins: []proxy.Origin{{Upstream: w.client, Policy: w.policy.Policy}, {Upstream: second, Policy: w.policy.Policy}},
		Cache:   cache, UserAgent: "breakwater/test", Events: w.events, Log: w.newLog(),
	})
	t.Cleanup(func() { _ = p.Close() })
	server := httptest.NewServer(p.Behind(openGate(), "docker.io"))
	t.Cleanup(server.Close)
	w.url = server.URL

	var waiting sync.WaitGroup
	waiting.Go(func() { _, _ = w.fetch(t.Context(), "/v2/evil.io/a/b/blobs/"+layer.String()) })
	<-asked
	if body, err := w.fetch(t.Context(), "/v2/library/nginx/blobs/"+layer.String()); err != nil || digest.FromBytes(body) != layer {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	close(release)
	waiting.Wait()
}

// A way that leads in a circle, or is said to, concerns whoever came by it: not what is
// known of a tag, nor those who want the same at that moment.
func TestAForgedWayHurtsNobodyElse(t *testing.T) {
	var hops []string
	for i := range 8 { // as many as the node takes; before the next level it is one more
		hops = append(hops, "1.1 breakwater-"+strings.Repeat(string(rune('a'+i)), 26))
	}
	forged := "Via: " + strings.Join(hops, ", ")
	inBubble(t, harbortest.Puller, nil, func(b *bubble) {
		n, _ := b.node(nil)
		n.pull("team-a/app", "1.0")
		old := n.get(200, "GET /v2/team-a/app/manifests/1.0").Header.Get("Docker-Content-Digest")
		moved, err := harbortest.Image("moved", 5<<10)
		if err == nil {
			_, err = b.harbor.Push("team-a/app", "1.0", moved)
		}
		if err != nil {
			t.Fatal(err)
		}
		b.pass(time.Minute)
		n.send("GET /v2/team-a/app/manifests/1.0", forged)
		if got := n.get(200, "GET /v2/team-a/app/manifests/1.0"); got.Header.Get("Docker-Content-Digest") == old {
			t.Errorf("the tag stays what it was: %s", got.Header.Get("Cache-Status"))
		}
	})
	for name, path := range map[string]func(w *world) string{
		"manifest": func(*world) string { return "/v2/team-a/app/manifests/1.1" },
		"blob":     func(w *world) string { return "/v2/team-a/big/blobs/" + w.layer("team-a/big") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, account)
			path := path(w)
			target, err := url.Parse(w.url)
			if err != nil {
				t.Fatal(err)
			}
			slow := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(pr *httputil.ProxyRequest) {
				time.Sleep(50 * time.Millisecond)
				pr.SetURL(target)
			}})
			t.Cleanup(slow.Close)
			n := node(t, slow.URL, nil, nil)
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() { n.send("GET "+path, forged) })
			}
			time.Sleep(20 * time.Millisecond) // they are under way
			for range 5 {
				all.Go(func() {
					if _, err := n.fetch(t.Context(), path); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		})
	}
}
