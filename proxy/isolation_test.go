package proxy_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/proxy/registry"
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
