package proxy_test

import (
	"encoding/json"
	"net/http"
	"strings"

	"breakwater/proxy/registry"
)

// wanted is one request, and the status that tells that it was found.
type wanted struct {
	kind   registry.Kind
	method string
	path   string
	header string // one field; "" for none
	found  int
}

func (w wanted) String() string {
	return strings.TrimSuffix(w.method+" "+w.path+" "+w.header, " ")
}

// ask makes the request, with what say adds to it.
func (b *bubble) ask(say func(*http.Request), w wanted) answer {
	b.Helper()
	request := b.request(w.method + " " + w.path)
	if name, value, ok := strings.Cut(w.header, ": "); ok {
		request.Header.Set(name, value)
	}
	say(request)
	return b.serve(request)
}

// image is a manifest and one of its blobs.
type image struct {
	repository, tag, manifest, blob string
}

// imageOf asks Harbor, past Breakwater: nothing is held for it.
func (b *bubble) imageOf(repository, tag string) image {
	b.Helper()
	body, header := b.atHarbor(registry.Request{Kind: registry.KindManifest, Method: http.MethodGet, Name: repository, Tag: tag})
	return image{repository, tag, header.Get("Docker-Content-Digest"), listed(b.T, body)[0].digest.String()}
}

func (b *bubble) atHarbor(request registry.Request) ([]byte, http.Header) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, b.origin.URL+request.URL().String(), nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Accept", registry.ManifestTypes)
	resp, err := b.direct.Reading(request).RoundTrip(req)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		b.Fatalf("Harbor: %s for %s", resp.Status, req.URL)
	}
	var document json.RawMessage
	if err := json.NewDecoder(resp.Body).Decode(&document); err != nil {
		b.Fatal(err)
	}
	return document, resp.Header
}

// wanted are requests of each kind for the image. What is found first is held then:
// so HEAD comes before GET, and what needs held content last.
func (i image) wanted() []wanted {
	var all []wanted
	add := func(kind registry.Kind, path string) {
		for _, method := range []string{http.MethodHead, http.MethodGet} {
			all = append(all, wanted{kind, method, "/v2/" + i.repository + path, "", http.StatusOK})
		}
	}
	add(registry.KindManifest, "/manifests/"+i.tag)
	add(registry.KindManifest, "/manifests/"+i.manifest)
	add(registry.KindBlob, "/blobs/"+i.blob)
	add(registry.KindTags, "/tags/list")
	add(registry.KindReferrers, "/referrers/"+i.manifest)
	return append(all,
		wanted{registry.KindBlob, http.MethodGet, "/v2/" + i.repository + "/blobs/" + i.blob, "Range: bytes=0-3", http.StatusPartialContent},
		wanted{registry.KindBlob, http.MethodGet, "/v2/" + i.repository + "/blobs/" + i.blob, "If-None-Match: *", http.StatusNotModified},
		wanted{registry.KindManifest, http.MethodGet, "/v2/" + i.repository + "/manifests/" + i.tag, "If-None-Match: *", http.StatusNotModified})
}

// common are the requests that name no repository.
func common() []wanted {
	var all []wanted
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		all = append(all, wanted{registry.KindBase, method, "/v2/", "", http.StatusOK}, wanted{registry.KindCatalog, method, "/v2/_catalog", "", http.StatusOK})
	}
	return all
}
