package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"breakwater/internal/harbortest"
	"breakwater/proxy/registry"

	"github.com/opencontainers/go-digest"
)

const (
	tokenOf = "GET /service/token?account=robot%24everything&scope=repository%3A"
	service = "%3Apull&service=harbor-registry Basic 200"
)

// A cold pull asks exactly this, and a second image of the project no token.
func TestOnePullInOrder(t *testing.T) {
	w := newWorld(t, account)
	manifest := w.get(200, "GET /v2/team-a/app/manifests/1.0")
	d := manifest.Header.Get("Docker-Content-Digest")
	w.expect(
		"GET /v2/ 401",
		tokenOf+"team-a%2Fapp"+service,
		"HEAD /v2/team-a/app/manifests/1.0 Bearer 200",
		"GET /v2/team-a/app/manifests/"+d+" Bearer 200")

	var image struct {
		Config struct{ Digest digest.Digest }
		Layers []struct{ Digest digest.Digest }
	}
	if err := json.Unmarshal(manifest.body, &image); err != nil {
		t.Fatal(err)
	}
	if len(image.Layers) != 2 {
		t.Fatalf("team-a/app:1.0 has %d layers", len(image.Layers))
	}
	for _, d := range []digest.Digest{image.Config.Digest, image.Layers[0].Digest, image.Layers[1].Digest} {
		blob := w.get(200, "GET /v2/team-a/app/blobs/"+d.String())
		if d.Algorithm().FromBytes(blob.body) != d {
			t.Errorf("the blob %s has other bytes", d)
		}
		w.expect("GET /v2/team-a/app/blobs/" + d.String() + " Bearer 200")
	}

	// Rights are per project: the token of app is good for big.
	w.get(200, "HEAD /v2/team-a/big/manifests/1.0")
	w.expect("HEAD /v2/team-a/big/manifests/1.0 Bearer 200")
}

func TestFourFlows(t *testing.T) {
	w := newWorld(t, account)
	base := w.get(200, "GET /v2/")
	if string(base.body) != "{}" {
		t.Errorf("GET /v2/ = %s", base.body)
	}
	if moved := w.get(301, "GET /v2"); moved.Header.Get("Location") != "/v2/" {
		t.Errorf("GET /v2 leads to %q", moved.Header.Get("Location"))
	}
	catalog := w.get(200, "GET /v2/_catalog")
	if !strings.Contains(string(catalog.body), `"team-b/secret"`) {
		t.Errorf("the catalog is %s", catalog.body)
	}
	tags := w.get(200, "GET /v2/team-a/app/tags/list")
	if !strings.Contains(string(tags.body), `"1.0"`) {
		t.Errorf("the tags are %s", tags.body)
	}
	manifest := w.get(200, "GET /v2/team-a/app/manifests/1.0", "Accept: */*")

	for a, cacheStatus := range map[*answer]string{
		&base: "", &catalog: "breakwater; fwd=bypass; fwd-status=200", &tags: "breakwater; fwd=bypass; fwd-status=200",
		&manifest: "breakwater; fwd=uri-miss; fwd-status=200",
	} {
		for _, name := range []string{"Set-Cookie", "Www-Authenticate", "Server", "X-Frame-Options", "X-Harbor-Csrf-Token"} {
			if value := a.Header.Get(name); value != "" {
				t.Errorf("%s shows %s: %s", a.Request.URL.Path, name, value)
			}
		}
		if a.Header.Get("Docker-Distribution-Api-Version") != "registry/2.0" || len(a.Header.Get("X-Request-Id")) < 16 {
			t.Errorf("%s lacks a header: %v", a.Request.URL.Path, a.Header)
		}
		if got := a.Header.Get("Cache-Status"); got != cacheStatus {
			t.Errorf("%s: Cache-Status: %s, want %s", a.Request.URL.Path, got, cacheStatus)
		}
	}
}

// The catalog takes Basic at Harbor; Breakwater learns it once.
func TestCatalogByBasic(t *testing.T) {
	w := newWorld(t, account)
	w.get(200, "GET /v2/_catalog")
	w.harbor.ResetRequests()
	first := w.get(200, "GET /v2/_catalog?n=3")
	w.expect("GET /v2/_catalog?n=1000 Basic 200")
	if got, want := first.Header.Get("Link"), `</v2/_catalog?last=library%2Fmulti&n=3>; rel="next"`; got != want {
		t.Errorf("Link: %s, want %s", got, want)
	}
	w.get(200, "GET /v2/_catalog?last=library%2Fmulti&n=3")
}

func TestCatalogWithoutTheRight(t *testing.T) {
	w := newWorld(t, harbortest.Puller)
	w.refused(403, "DENIED", "GET /v2/_catalog")
	w.get(200, "GET /v2/team-a/app/manifests/1.0") // and nothing else suffers
}

func TestTagsArePaged(t *testing.T) {
	w := newWorld(t, account)
	page, seen := "/v2/team-a/app/tags/list?n=4", 0
	for page != "" {
		a := w.get(200, "GET "+page)
		var list struct{ Tags []string }
		if err := json.Unmarshal(a.body, &list); err != nil {
			t.Fatal(err)
		}
		seen += len(list.Tags)
		link := a.Header.Get("Link")
		page = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		if seen > 100 {
			t.Fatal("the pages never end")
		}
	}
	if seen != 9 {
		t.Errorf("%d tags on all pages, want 9", seen)
	}
}

// GET and HEAD of a manifest agree, by tag and by digest, whatever upstream
// leaves out: a proxy-cache project's first answers have an empty digest.
func TestManifestHeadAndGetAgree(t *testing.T) {
	for _, repository := range []string{"team-a/app", "hub-proxy/library/fresh", "library/base"} {
		t.Run(strings.ReplaceAll(repository, "/", "_"), func(t *testing.T) {
			w := newWorld(t, account)
			get := w.get(200, "GET /v2/"+repository+"/manifests/1.0")
			d := digest.FromBytes(get.body).String()
			byDigest := w.get(200, "GET /v2/"+repository+"/manifests/"+d)
			for _, a := range []answer{
				get, byDigest,
				w.get(200, "HEAD /v2/"+repository+"/manifests/1.0"),
				w.get(200, "HEAD /v2/"+repository+"/manifests/"+d),
			} {
				h := a.Header
				if h.Get("Docker-Content-Digest") != d || h.Get("Etag") != `"`+d+`"` || h.Get("Vary") != "Accept" ||
					h.Get("Content-Type") != get.Header.Get("Content-Type") || a.ContentLength != int64(len(get.body)) {
					t.Errorf("%s %s: %v", a.Request.Method, a.Request.URL.Path, h)
				}
			}
		})
	}
}

func TestAcceptIsTheClients(t *testing.T) {
	w := newWorld(t, account)
	w.get(200, "GET /v2/team-a/app/manifests/1.0") // no Accept at all
	w.get(200, "GET /v2/team-a/app/manifests/1.0", "Accept: application/*")
	w.get(200, "HEAD /v2/team-a/multi/manifests/1.0", "Accept: "+registry.TypeOCIIndex)
	w.get(200, "GET /v2/library/base/manifests/1.0", "Accept: "+registry.TypeOCIManifest) // Docker's types always
	a := w.refused(404, "MANIFEST_UNKNOWN", "GET /v2/team-a/app/manifests/1.0", "Accept: "+registry.TypeDockerManifest)
	if !strings.Contains(string(a.body), registry.TypeOCIManifest) {
		t.Errorf("the refusal does not name the type: %s", a.body)
	}
}

func TestConditions(t *testing.T) {
	w := newWorld(t, account)
	manifest := w.get(200, "GET /v2/team-a/app/manifests/1.0")
	tag := manifest.Header.Get("Etag")
	for request, header := range map[string]string{
		"GET /v2/team-a/app/manifests/1.0":                       "If-None-Match: " + tag,
		"HEAD /v2/team-a/app/manifests/1.0":                      "If-None-Match: W/" + tag,
		"GET /v2/team-a/app/manifests/" + strings.Trim(tag, `"`): `If-None-Match: "other", ` + tag,
		"GET /v2/team-a/app/blobs/" + w.layer("team-a/app"):      "If-None-Match: *",
	} {
		a := w.get(304, request, header)
		if a.Header.Get("Etag") == "" || a.Header.Get("Docker-Content-Digest") == "" || len(a.body) != 0 {
			t.Errorf("%s, %s: %v", request, header, a.Header)
		}
	}
	w.get(200, "GET /v2/team-a/app/manifests/1.0", `If-None-Match: "sha256:other"`)
}

// layer is the digest of the first layer of repository:1.0.
func (w *world) layer(repository string) string {
	w.Helper()
	var image struct{ Layers []struct{ Digest string } }
	if err := json.Unmarshal(w.get(200, "GET /v2/"+repository+"/manifests/1.0").body, &image); err != nil {
		w.Fatal(err)
	}
	return image.Layers[0].Digest
}

func TestRanges(t *testing.T) {
	w := newWorld(t, account)
	layer := w.layer("team-a/app")
	path := "GET /v2/team-a/app/blobs/" + layer
	whole := w.get(200, path).body
	size := len(whole)

	for asked, want := range map[string][]byte{
		"bytes=0-":                               whole,
		"bytes=100-":                             whole[100:],
		"bytes=0-99":                             whole[:100],
		"bytes=-50":                              whole[size-50:],
		fmt.Sprintf("bytes=10-%d", size+1000):    whole[10:],
		fmt.Sprintf("bytes=%d-%d", size-1, size): whole[size-1:],
	} {
		a := w.get(206, path, "Range: "+asked)
		if string(a.body) != string(want) || !strings.HasPrefix(a.Header.Get("Content-Range"), "bytes ") || a.Header.Get("Etag") != `"`+layer+`"` {
			t.Errorf("Range %s: %d bytes, %v", asked, len(a.body), a.Header)
		}
	}
	several := w.get(206, path, "Range: bytes=0-9,20-29")
	if !strings.HasPrefix(several.Header.Get("Content-Type"), "multipart/byteranges; boundary=") || !strings.Contains(string(several.body), string(whole[20:30])) {
		t.Errorf("several ranges: %v", several.Header)
	}
	beyond := w.refused(416, "RANGE_INVALID", path, fmt.Sprintf("Range: bytes=%d-", size))
	if got, want := beyond.Header.Get("Content-Range"), fmt.Sprintf("bytes */%d", size); got != want {
		t.Errorf("416 with Content-Range %q, want %q", got, want)
	}
	w.get(206, path, "Range: bytes=0-9", `If-Range: "`+layer+`"`)
	w.get(200, path, "Range: bytes=0-9", `If-Range: "sha256:other"`)
	w.get(304, path, fmt.Sprintf("Range: bytes=%d-", size), `If-None-Match: "`+layer+`"`) // RFC 9110 §13.2.2: the condition comes first
	w.get(200, path, "Range: lines=0-9")
	w.get(200, "HEAD /v2/team-a/app/blobs/"+layer, "Range: bytes=0-9") // Range is for GET, RFC 9110 §14.2
	w.get(200, "GET /v2/team-a/app/manifests/1.0", "Range: bytes=0-9") // not on manifests

	most := strings.Repeat(",1-1", 1024)
	w.harbor.ResetRequests()
	w.get(200, path, "Range: bytes=0-0"+most) // 1,025 parts: the whole blob
	if n := w.harbor.Count(func(r harbortest.Request) bool { return r.Range != "" }); n != 0 {
		t.Error("1,025 ranges were asked for upstream")
	}
}

// A proxy-cache project answers HEAD of a blob with 404 until a GET has stored it.
func TestHeadOfABlobThatHarborHasNotStored(t *testing.T) {
	w := newWorld(t, account)
	layer := w.layer("hub-proxy/library/fresh")
	a := w.get(200, "HEAD /v2/hub-proxy/library/fresh/blobs/"+layer)
	if a.ContentLength <= 0 || a.Header.Get("Docker-Content-Digest") != layer {
		t.Errorf("HEAD: %v", a.Header)
	}
	w.refused(404, "BLOB_UNKNOWN", "GET /v2/hub-proxy/library/fresh/blobs/sha256:"+strings.Repeat("0", 64))
	if a := w.get(404, "HEAD /v2/hub-proxy/library/fresh/blobs/sha256:"+strings.Repeat("0", 64)); len(a.body) != 0 {
		t.Error("a HEAD has a body")
	}
}

func TestReferrers(t *testing.T) {
	w := newWorld(t, account)
	subject := w.get(200, "HEAD /v2/team-a/app/manifests/1.0").Header.Get("Docker-Content-Digest")
	path := "/v2/team-a/app/referrers/" + subject
	for query, want := range map[string]int{
		"": 2, "?artifactType=application/vnd.example.sbom%2Bjson": 1,
		"?artifactType=application/vnd.example.sbom+json": 1, // the + that clients forget to encode
		"?artifactType=application/none":                  0,
	} {
		a := w.get(200, "GET "+path+query)
		var index struct{ Manifests []any }
		if err := json.Unmarshal(a.body, &index); err != nil || len(index.Manifests) != want {
			t.Errorf("%s: %v, %s", query, err, a.body)
		}
		if a.Header.Get("Content-Type") != registry.TypeOCIIndex || (query != "") != (a.Header.Get("OCI-Filters-Applied") == "artifactType") {
			t.Errorf("%s: %v", query, a.Header)
		}
	}
	w.get(200, "HEAD "+path) // Harbor itself says 404
}

// Nothing of a client's own reaches Harbor but what is allowed.
func TestRequestHeadersAreAllowListed(t *testing.T) {
	w := newWorld(t, account)
	w.warm("team-a/app")
	w.get(200, "GET /v2/team-a/app/manifests/1.0?ns=harbor.example.com",
		"Authorization: Basic Y2xpZW50OnB3", "Cookie: sid=1", "Traceparent: 00-1", "Baggage: a=b", "Referer: http://x", "X-Forwarded-For: 10.9.9.9",
		"X-Forwarded-Proto: https", "Forwarded: for=x", "If-None-Match: nothing", "User-Agent: docker/20", "Accept: */*", "Accept-Encoding: gzip")
	requests := w.harbor.Requests()
	if len(requests) != 2 {
		t.Fatalf("Harbor saw %v", w.saw())
	}
	want := http.Header{"Accept": {registry.ManifestTypes}, "Accept-Encoding": {"identity"}, "User-Agent": {"breakwater/test"}, "Via": {w.get(200, "GET /v2/").Header.Get("Via")}}
	for _, r := range requests {
		r.Header.Del("Authorization") // ours: a Bearer, as other tests show
		if fmt.Sprint(r.Header) != fmt.Sprint(want) || r.Query != "" {
			t.Errorf("Harbor saw the query %q and the headers\n%v\nwant\n%v", r.Query, r.Header, want)
		}
	}
}

func TestWritesAndUpgradesAreRefusedHere(t *testing.T) {
	w := newWorld(t, account)
	for _, request := range []string{
		"POST /v2/team-a/app/blobs/uploads/", "PATCH /v2/team-a/app/blobs/uploads/1", "PUT /v2/team-a/app/blobs/uploads/1?digest=x",
		"PUT /v2/team-a/app/manifests/1.0", "DELETE /v2/team-a/app/manifests/1.0", "POST /v2/", "OPTIONS /v2/_catalog", "BREW /v2/_catalog",
	} {
		a := w.refused(405, "UNSUPPORTED", request)
		if a.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: Allow: %q", request, a.Header.Get("Allow"))
		}
	}
	w.refused(400, "UNSUPPORTED", "GET /v2/", "Connection: Upgrade", "Upgrade: websocket")
	w.refused(400, "NAME_INVALID", "GET /v2/team-a%2Fapp/manifests/1.0")
	w.refused(404, "UNSUPPORTED", "GET /service/token?service=harbor-registry")
	w.refused(404, "UNSUPPORTED", "GET /api/v2.0/projects")
	w.expect()
	if got := w.events.last(t); got.Route != "" || got.Cache != "none" {
		t.Errorf("a refused request was counted as %+v", got)
	}
}

func TestHerdMakesOneExchange(t *testing.T) {
	w := newWorld(t, account)
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if a := w.send("GET /v2/team-a/app/manifests/1.0"); a.StatusCode != 200 {
				t.Errorf("%s %s", a.Status, a.body)
			}
		})
	}
	all.Wait()
	if n := w.tokens(); n != 1 {
		t.Errorf("%d token exchanges, want 1", n)
	}
	if n := w.harbor.Count(harbortest.Request.IsManifest); n != 2 {
		t.Errorf("%d questions for one manifest, want a HEAD of its tag and a GET of its digest:\n%s", n, strings.Join(w.saw(), "\n"))
	}
}

func TestRevokedTokenIsReplacedUnnoticed(t *testing.T) {
	w := newWorld(t, account)
	w.warm("team-a/app")
	w.harbor.RevokeTokens()
	w.get(200, "HEAD /v2/team-a/app/manifests/1.0")
	w.expect(
		"HEAD /v2/team-a/app/manifests/1.0 Bearer 401",
		tokenOf+"team-a%2Fapp"+service,
		"HEAD /v2/team-a/app/manifests/1.0 Bearer 200")
}
