package proxy_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/proxy/access"
	"breakwater/proxy/registry"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/opencontainers/go-digest"
)

func headOfABlob(t *testing.T) {
	asMirror(t, func(b *bubble) {
		for _, image := range []sample{b.sample("large", 512<<10), b.sample("app", 3000)} { // of a proxy cache: Harbor says 404 to a HEAD
			for range 2 { // cold, held
				head := b.get(200, "HEAD "+image.blob())
				got := b.get(200, "GET "+image.blob(), "Accept-Encoding: zstd;q=1.0, gzip;q=0.8, deflate;q=0.5")
				if head.ContentLength != int64(image.size) || got.ContentLength != int64(len(got.body)) || len(got.body) != image.size {
					t.Errorf("%d, then %d bytes, of %d", head.ContentLength, len(got.body), image.size)
				}
				if encoding := got.Header.Get("Content-Encoding"); encoding != "" || digest.FromBytes(got.body).String() != image.layer {
					t.Errorf("encoded as %q", encoding)
				}
			}
		}
		for _, r := range b.harbor.Requests() {
			if r.IsBlob() && r.Header.Get("Accept-Encoding") != "identity" {
				t.Errorf("Harbor was asked for %q", r.Header.Get("Accept-Encoding"))
			}
		}
	})
}

func headersInTime(t *testing.T) {
	asMirror(t, func(b *bubble) {
		image, large := b.sample("app", 3000), b.sample("large", 512<<10)
		b.get(200, "GET /v2/library/app/tags/list") // with a token: it is upstream itself that is late
		b.harbor.AddFault(harbortest.Fault{Delay: time.Hour})
		for _, target := range append(image.targets(), "/v2/library/app/tags/list") {
			began := time.Now()
			got := b.send("GET " + target)
			if took := time.Since(began); took > 15*time.Second || got.StatusCode != 503 && got.StatusCode != 504 {
				t.Errorf("%s: %s after %s", target, got.Status, took)
			}
		}
		b.clearFaults()
		b.pass(time.Hour)
		b.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, Rate: 256}) // half an hour and more
		v := b.visit(large.blob(), 0)
		if v.status != 200 || digest.FromBytes(v.body.Bytes()).String() != large.layer || v.took < 30*time.Minute {
			t.Errorf("%d, %d bytes after %s", v.status, v.body.Len(), v.took)
		}
	})
}

func no429(t *testing.T) {
	asMirror(t, func(b *bubble) {
		cold, held := b.sample("large", 512<<10), b.sample("app", 3000)
		for _, target := range held.targets() {
			b.get(200, "GET "+target)
		}
		b.pass(16 * time.Minute)
		b.harbor.AddFault(harbortest.Fault{Status: 429, RetryAfter: "7"})
		for _, target := range append(cold.targets(), "/v2/library/app/tags/list") {
			if got := b.says(503, "UNAVAILABLE", "GET "+target); got.Header.Get("Retry-After") == "" {
				t.Errorf("%s: no Retry-After", target)
			}
		}
		for _, target := range held.targets() {
			b.get(200, "GET "+target)
		}
	})
}

// redirectsAreFollowed has a network: package upstream follows.
func redirectsAreFollowed(t *testing.T) {
	w := newWorld(t, harbortest.Puller)
	w.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, RedirectTo: w.origin.StorageURL})
	layer := w.layer("team-a/app")
	got := w.get(200, "GET /v2/team-a/app/blobs/"+layer)
	if got.Header.Get("Location") != "" || digest.FromBytes(got.body).String() != layer {
		t.Errorf("the client is shown %v", got.Header)
	}
	followed := 0
	for _, r := range w.harbor.Requests() {
		if strings.HasPrefix(r.Path, "/harbor/") { // at the storage
			followed++
			if r.Header.Get("Authorization") != "" {
				t.Error("the storage got the token")
			}
		}
	}
	if followed != 1 {
		t.Errorf("%d redirects were followed", followed)
	}
	w.clearFaults()
	for _, target := range []string{"manifests/1.0", "tags/list", "blobs/" + layer} { // Harbor says 401: our account has no right
		got := w.get(404, "GET /v2/team-b/secret/"+target)
		if got.Header.Get("Www-Authenticate") != "" || !strings.HasPrefix(string(got.body), `{"errors":[{"code":"`) {
			t.Errorf("%s: the client is asked who it is: %v", target, got.Header)
		}
	}
	bad := newWorld(t, harbortest.Idle)
	bad.refused(502, "UNAVAILABLE", "GET /v2/team-a/app/manifests/1.0")
}

func listsLeadToUs(t *testing.T) {
	asMirror(t, func(b *bubble) {
		var tags []string
		target, pages := "/harbor.example.com/v2/team-a/app/tags/list?n=3", 0
		for target != "" {
			page := b.get(200, "GET "+target)
			var list struct {
				Name string
				Tags []string
			}
			b.must(json.Unmarshal(page.body, &list))
			if list.Name != "team-a/app" {
				t.Errorf("the list is of %q", list.Name)
			}
			tags = append(tags, list.Tags...)
			pages++
			next, more := strings.CutSuffix(strings.TrimPrefix(page.Header.Get("Link"), "<"), `>; rel="next"`)
			if target = next; more && !strings.HasPrefix(target, "/harbor.example.com/v2/team-a/app/tags/list?") || pages > 9 {
				t.Fatalf("the list leads to %q", target)
			}
		}
		if !slices.Contains(tags, "a5") || !slices.Contains(tags, "latest") || pages < 3 {
			t.Errorf("%d pages: %v", pages, tags)
		}
		if ns := b.get(200, "GET /v2/team-a/app/tags/list?n=3&ns=harbor.example.com").Header.Get("Link"); !strings.Contains(ns, "ns=harbor.example.com") {
			t.Errorf("by ns the list leads to %s", ns)
		}
		b.sample("app", 3000)
		hub := b.get(200, "GET /v2/library/app/tags/list") // as Harbor calls it: hub-proxy/library/app
		if string(hub.body) != `{"name":"library/app","tags":["1"]}` {
			t.Errorf("%s", hub.body)
		}

		subject := b.get(200, "GET /v2/team-a/app/manifests/1.0?ns=harbor.example.com").Header.Get("Docker-Content-Digest")
		referrers := b.get(200, "GET /v2/team-a/app/referrers/"+subject+"?ns=harbor.example.com")
		if n := bytes.Count(referrers.body, []byte(`"artifactType"`)); n != 2 || referrers.Header.Get("Content-Type") != registry.TypeOCIIndex {
			t.Errorf("%d referrers: %s", n, referrers.body)
		}
		fallback := "GET /v2/team-a/app/manifests/" + strings.Replace(subject, ":", "-", 1) + "?ns=harbor.example.com"
		b.says(404, "MANIFEST_UNKNOWN", fallback)
		for _, kind := range []string{"one", "another"} { // pushed by others, to Harbor
			list, err := b.harbor.PushIndex("team-a/app", strings.Replace(subject, ":", "-", 1), mutate.Annotations(empty.Index, map[string]string{"kind": kind}).(v1.ImageIndex))
			b.must(err)
			b.pass(11 * time.Second)
			if got := b.get(200, fallback); got.Header.Get("Docker-Content-Digest") != list.String() {
				t.Errorf("%s list is not served", kind)
			}
		}
	})
}

func writesAre405(t *testing.T) {
	w := newWorld(t, account)
	layer := w.layer("team-a/app")
	w.get(200, "GET /v2/team-a/app/blobs/"+layer)
	w.saw()
	for _, request := range []string{
		"POST /v2/team-a/app/blobs/uploads/", "POST /v2/team-a/app/blobs/uploads/?mount=" + layer + "&from=team-b/secret",
		"PATCH /v2/team-a/app/blobs/uploads/1", "PUT /v2/team-a/app/blobs/uploads/1?digest=" + layer,
		"PUT /v2/team-a/app/manifests/1.0", "DELETE /v2/team-a/app/manifests/1.0", "DELETE /v2/team-a/app/blobs/" + layer,
	} {
		w.refused(405, "UNSUPPORTED", request)
	}
	for range 100 {
		w.get(200, "GET /v2/", "Connection: close")
		w.get(200, "GET /v2/team-a/app/blobs/"+layer, "Connection: close")
	}
	w.expect()
}

func clientHeadersStay(t *testing.T) {
	asMirror(t, func(b *bubble) {
		image := b.sample("app", 3000)
		said := []string{
			"Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate: a=b", "Baggage: trigger=api", "Cookie: sid=of-a-user",
			"Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: elsewhere", "Referer: http://elsewhere/", "User-Agent: docker/20.10.24",
			"Docker-Distribution-Api-Version: registry/2.0", "X-Mirror-Tag: blue", "Origin: http://elsewhere", "Te: trailers", "Accept-Language: en",
		}
		for _, target := range append(image.targets(), "/v2/library/app/tags/list", "/v2/_catalog", "/v2/library/app/referrers/"+image.manifest) {
			if got := b.get(200, "GET "+target, said...); got.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s: Harbor's cookie is handed on", target)
			}
		}
		ours := []string{"Accept", "Accept-Encoding", "Authorization", "User-Agent", "Via"}
		for _, r := range b.harbor.Requests() {
			for name, values := range r.Header {
				if !slices.Contains(ours, name) || strings.Contains(values[0], "docker/") {
					t.Errorf("Harbor was asked for %s with %s: %s", r.Path, name, values[0])
				}
			}
		}
	})
}

func fallbacksAreTold(t *testing.T) {
	asMirror(t, func(b *bubble) {
		held, cold := b.sample("app", 3000), b.sample("large", 512<<10)
		for _, target := range held.targets() {
			b.get(200, "GET "+target)
		}
		b.pass(16 * time.Minute)
		b.harbor.SetDown(harbortest.Core, true)
		b.get(200, "GET "+held.targets()[0])
		if b.events.told("stale manifest")+b.events.told("stale tag") != 1 {
			t.Errorf("a stale answer is not told: %v", b.events.cache)
		}
		for _, target := range cold.targets() { // a client goes elsewhere now, and nobody complains
			b.send("GET " + target)
			if told := b.events.last(t); told.Status < 500 || told.Route != "docker.io" || told.Kind == "" {
				t.Errorf("%s is told as %+v", target, told)
			}
		}
		b.harbor.SetDown(harbortest.Core, false)
		b.pass(time.Hour)
		b.harbor.AddFault(harbortest.Fault{WrongDigest: true, Match: harbortest.Blobs})
		b.visit(cold.blob(), 0)
		if b.events.mismatches == 0 {
			t.Error("wrong bytes are not told")
		}
		b.clearFaults()
		b.asking(access.Everything())
		b.get(401, "GET "+held.targets()[0], authorization("alice", "password-at-docker.io"))
		if !slices.Contains(b.events.refusals, access.BadCredentials) {
			t.Errorf("a refusal is not told: %v", b.events.refusals)
		}
	})
}

// sample is an image that Docker Hub has as library/NAME:1, with one layer.
type sample struct {
	repository, tag, manifest, layer string
	size                             int // of the layer
}

// sample pushes one.
func (b *bubble) sample(name string, size int) sample {
	b.Helper()
	hub, err := b.harbor.Upstream("hub-proxy")
	b.must(err)
	image, err := harbortest.DockerImage(name, size)
	b.must(err)
	manifest, err := hub.Push("library/"+name, "1", image)
	b.must(err)
	layers, err := image.Layers()
	b.must(err)
	layer, err := layers[0].Digest()
	b.must(err)
	return sample{"library/" + name, "1", manifest.String(), layer.String(), size}
}

// targets are the manifest by tag and by digest, and the layer.
func (s sample) targets() []string {
	return []string{"/v2/" + s.repository + "/manifests/" + s.tag, "/v2/" + s.repository + "/manifests/" + s.manifest, s.blob()}
}

func (s sample) blob() string { return "/v2/" + s.repository + "/blobs/" + s.layer }

// asking has the listener ask who comes, and returns what alice says.
func (b *bubble) asking(allow access.Policy) (alice string) {
	b.gateOf(listener{mode: passwordListener(b).mode, allow: allow})
	return authorization("alice", client)
}

func authorization(username, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
}

// says is refused for a client that sends header fields, and for the answer's type.
func (b *bubble) says(status int, code, request string, headers ...string) answer {
	b.Helper()
	got := b.get(status, request, headers...)
	if got.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(string(got.body), `{"errors":[{"code":"`+code+`","message":"`) {
		b.Errorf("%s: %s %s, want a registry error %s", request, got.Header.Get("Content-Type"), got.body, code)
	}
	return got
}

func (b *bubble) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
