package proxy_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/proxy/registry"

	"github.com/opencontainers/go-digest"
)

// Content is global, permission is per repository: a digest opens nothing.
func TestADigestIsNoPermission(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		pulled := b.pull("team-a/app", "1.0")
		secret := listed(t, pulled.body)
		manifest := pulled.Header.Get("Docker-Content-Digest")
		b.get(404, "GET /v2/team-b/secret/manifests/"+manifest)
		for _, blob := range secret {
			for _, method := range []string{"GET", "HEAD"} {
				b.get(404, method+" /v2/team-b/secret/blobs/"+blob.digest.String())
				b.get(404, method+" /v2/team-b/secret/blobs/"+blob.digest.String(), "Range: bytes=0-3")
			}
			b.get(404, "GET /v2/team-b/secret/blobs/"+blob.digest.String(), "If-None-Match: *")
		}
		// Nor as another kind: a manifest is no blob here, a blob never a manifest.
		b.get(404, "GET /v2/team-a/app/manifests/"+secret[0].digest.String())

		// Harbor takes a manifest that lists somebody else's digests in these ways.
		content, err := b.harbor.Content("team-b/secret")
		if err != nil {
			t.Fatal(err)
		}
		type descriptor map[string]any
		for name, document := range map[string]map[string]any{
			"foreign": {"layers": []descriptor{{
				"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "size": 2000,
				"digest": secret[1].digest, "urls": []string{"https://example.com/layer"},
			}}},
			"subject": {"layers": []descriptor{}, "subject": descriptor{"mediaType": registry.TypeOCIManifest, "size": len(pulled.body), "digest": manifest}},
		} {
			config, err := content.PushBlob("team-b/secret", []byte("{}"))
			if err != nil {
				t.Fatal(err)
			}
			document["schemaVersion"], document["mediaType"] = 2, registry.TypeOCIManifest
			document["config"] = descriptor{"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": config.String()}
			body, err := json.Marshal(document)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := content.PushManifest("team-b/secret", name, registry.TypeOCIManifest, body); err != nil {
				t.Fatal(err)
			}
			b.get(200, "GET /v2/team-b/secret/manifests/"+name)
			b.pass(time.Minute) // whatever happens in the background
			for _, blob := range secret {
				b.get(404, "GET /v2/team-b/secret/blobs/"+blob.digest.String())
			}
			b.get(404, "GET /v2/team-b/secret/manifests/"+manifest)
		}
	})
}

// Nor while the blob is on its way for somebody who may have it.
func TestADigestBeingFilledIsNoPermission(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		var large string
		for _, child := range listed(t, b.get(200, "GET /v2/team-a/big/manifests/1.0").body) {
			large = child.digest.String() // the last is the layer
		}
		b.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, Times: 1, After: 1 << 20, Stall: 20 * time.Second})
		done := make(chan answer)
		go func() { done <- b.send("GET /v2/team-a/big/blobs/" + large) }()
		b.pass(time.Second)
		b.get(404, "GET /v2/team-b/secret/blobs/"+large)
		b.get(404, "GET /v2/team-b/secret/blobs/"+large, "Range: bytes=0-99")
		if got := <-done; got.StatusCode != 200 || len(got.body) < 2<<20 {
			t.Errorf("%s, %d bytes", got.Status, len(got.body))
		}
		b.get(404, "GET /v2/team-b/secret/blobs/"+large)
		for _, line := range b.content() {
			if strings.HasPrefix(line, "GET /v2/team-b/secret/blobs/") && strings.HasSuffix(line, " 200") {
				t.Errorf("Harbor gave it: %s", line)
			}
		}
	})
}

// A proxy-cache project hands on what the registry behind it says, and that may be
// anybody's. Naming a digest there opens nothing: its content must have come.
func TestAHostileRegistryBehindAProxyProvesNothing(t *testing.T) {
	manifest := []byte(`{"schemaVersion":2,"mediaType":"` + registry.TypeOCIManifest + `","config":{},"layers":[]}`)
	blob := []byte(strings.Repeat("secret", 1000))
	secret, layer := digest.FromBytes(manifest), digest.FromBytes(blob)
	w := before(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		evil := strings.HasPrefix(r.URL.Path, "/v2/hub-proxy/")
		switch {
		case strings.Contains(r.URL.Path, "/manifests/"):
			rw.Header().Set("Content-Type", registry.TypeOCIManifest)
			rw.Header().Set("Docker-Content-Digest", secret.String())
			body := manifest
			if evil {
				body = []byte(strings.Repeat(" ", len(manifest)))
			}
			rw.Header().Set("Content-Length", strconv.Itoa(len(body)))
			_, _ = rw.Write(body)
		case strings.Contains(r.URL.Path, "/blobs/"):
			body := blob
			if evil {
				if r.Method == http.MethodHead {
					rw.WriteHeader(http.StatusNotFound)
					return
				}
				body = []byte(strings.Repeat("x", len(blob)))
			}
			_, _ = rw.Write(body)
		}
	}))
	// Neither before the content is held …
	w.get(200, "HEAD /v2/hub-proxy/evil/blobs/"+layer.String())
	w.refused(502, "UNAVAILABLE", "GET /v2/hub-proxy/evil/blobs/"+layer.String())
	w.get(200, "HEAD /v2/hub-proxy/evil/manifests/1.0")
	w.get(200, "GET /v2/team-a/app/manifests/"+secret.String())
	w.get(200, "GET /v2/team-a/app/blobs/"+layer.String())
	w.filled(layer.String())
	// … nor after.
	for _, request := range []string{
		"GET /v2/hub-proxy/evil/manifests/1.0", "GET /v2/hub-proxy/evil/manifests/" + secret.String(),
		"GET /v2/hub-proxy/evil/blobs/" + layer.String(), "HEAD /v2/hub-proxy/evil/blobs/" + layer.String(),
	} {
		if a := w.send(request); a.StatusCode == 200 || strings.Contains(string(a.body), "secret") {
			t.Errorf("%s: %s %.60q", request, a.Status, a.body)
		}
	}
	w.get(200, "GET /v2/team-a/app/blobs/"+layer.String()) // nobody else suffers
}
