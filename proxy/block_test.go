package proxy_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"breakwater/internal/harbortest"

	"github.com/opencontainers/go-digest"
)

// What the operator blocks is refused at once, to everybody and by whatever road, and
// upstream is not asked for it; what is not blocked is served as ever.
func TestBlocked(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		pulled := b.pull("team-a/app", "1.0")
		manifest := digest.Digest(pulled.Header.Get("Docker-Content-Digest"))
		children := listed(t, pulled.body)
		config, blob := children[0].digest, children[1].digest
		b.pass(time.Second)
		b.saw()

		requests := []string{
			"GET /v2/team-a/app/blobs/" + blob.String(), "HEAD /v2/team-a/app/blobs/" + blob.String(),
			"GET /v2/team-b/secret/blobs/" + blob.String(),
		}
		if err := b.cache.Block(blob); err != nil {
			t.Fatal(err)
		}
		for _, request := range requests {
			b.forbidden(request)
			b.forbidden(request, "Range: bytes=0-99")
			b.forbidden(request, "If-None-Match: *")
		}
		b.get(200, "GET /v2/team-a/app/manifests/1.0")
		b.get(200, "GET /v2/team-a/app/blobs/"+config.String())

		if err := b.cache.Block(manifest); err != nil {
			t.Fatal(err)
		}
		for _, reference := range []string{"1.0", manifest.String()} {
			for _, method := range []string{"GET", "HEAD"} {
				b.forbidden(method + " /v2/team-a/app/manifests/" + reference)
				b.forbidden(method+" /v2/team-a/app/manifests/"+reference, "If-None-Match: *")
			}
		}
		b.get(200, "GET /v2/team-a/app/manifests/1.1")
		for _, line := range b.content() {
			if strings.Contains(line, blob.Encoded()) || strings.Contains(line, manifest.Encoded()) {
				t.Errorf("Harbor was asked for what is blocked: %s", line)
			}
		}
		if b.cache.Held(blob) || b.cache.Held(manifest) {
			t.Error("what is blocked is held still")
		}

		// A block outlives a restart, and a tag that is known only upstream leads to it too.
		b.reopen(account)
		for _, request := range requests {
			b.forbidden(request)
		}
		b.forbidden("GET /v2/team-a/app/manifests/1.0")
		if _, err := b.cache.PurgeAll(); err != nil {
			t.Fatal(err)
		}
		b.forbidden("GET /v2/team-a/app/manifests/1.0")
		b.forbidden("HEAD /v2/team-a/app/manifests/1.0")

		for _, d := range []digest.Digest{blob, manifest} {
			if err := b.cache.Unblock(d); err != nil {
				t.Fatal(err)
			}
		}
		b.pull("team-a/app", "1.0")
		b.reopen(account)
		b.pull("team-a/app", "1.0")
	})
}

// forbidden is a request that is answered 403, without a word on what it would get.
func (b *bubble) forbidden(request string, headers ...string) {
	b.Helper()
	a := b.get(403, request, headers...)
	if strings.HasPrefix(request, "GET ") && !strings.HasPrefix(string(a.body), `{"errors":[{"code":"DENIED","message":"`) {
		b.Errorf("%s: %s", request, a.body)
	}
	for _, name := range []string{"Etag", "Docker-Content-Digest", "Accept-Ranges"} {
		if a.Header.Get(name) != "" {
			b.Errorf("%s: %s: %s", request, name, a.Header.Get(name))
		}
	}
}

// A block takes it from those, too, who are getting it just now.
func TestBlockedWhileItComes(t *testing.T) {
	w := newWorld(t, account)
	large := w.layer("team-a/big")
	w.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, After: 1 << 20, Stall: time.Minute})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/v2/team-a/big/blobs/"+large, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.CopyN(io.Discard, resp.Body, 1000); err != nil {
		t.Fatal(err)
	}
	if err := w.cache.Block(digest.Digest(large)); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); err == nil || n > 1<<20 {
		t.Errorf("the client got %d bytes more, %v", n, err)
	}
	w.refused(403, "DENIED", "GET /v2/team-a/big/blobs/"+large)
	w.clearFaults()
	if err := w.cache.Unblock(digest.Digest(large)); err != nil {
		t.Fatal(err)
	}
	if a := w.get(200, "GET /v2/team-a/big/blobs/"+large); a.err != nil || digest.FromBytes(a.body).String() != large {
		t.Errorf("unblocked: %d bytes, %v", len(a.body), a.err)
	}
}
