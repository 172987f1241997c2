package proxy_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/internal/pattern"
	"breakwater/proxy/access"
	"breakwater/proxy/route"

	"github.com/opencontainers/go-digest"
)

// What real clients taught, a short conversation for each rule, from the client's side.
// Each has longer tests elsewhere.
func TestClientRules(t *testing.T) {
	for _, rule := range []struct {
		name string
		hold func(*testing.T)
	}{
		{"01 prefix, then ns, then default", prefixThenNSThenDefault},
		{"02 who asks is asked on each resource, and empty credentials are none", askedOnEachResource},
		{"03 a client's Authorization goes nowhere", authorizationGoesNowhere},
		{"04 later: a token endpoint of our own; Basic and permission are on the resource", permissionOnTheResource},
		{"05 HEAD and GET agree, and a tag stays between them", headAndGetAgree},
		{"06 never a whole 200 of wrong bytes, nor a page for a manifest", neverWrongBytes},
		{"07 a client never sees a cut", neverACut},
		{"08 ranges of all kinds, and a strong ETag", rangesOfAllKinds},
		{"09 many open-ended ranges are one transfer, which leaving neither stops nor prolongs", oneTransfer},
		{"10 HEAD of a blob tells its length, and nothing is encoded", headOfABlob},
		{"11 headers within 15 seconds, and no limit for a body that moves", headersInTime},
		{"12 no 429", no429},
		{"13 redirects are followed, and upstream's 401 is not the client's", redirectsAreFollowed},
		{"14 lists lead on to us, and the referrers tag moves", listsLeadToUs},
		{"15 writes are 405 (later: unless allowed), and short connections cheap", writesAre405},
		{"16 what a client says of itself goes no further", clientHeadersStay},
		{"17 a fallback is told by our own metrics", fallbacksAreTold},
	} {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			rule.hold(t)
		})
	}
}

// sampleRoutes are those of README, with Docker Hub as the listener's default.
func sampleRoutes(s *settings) {
	s.routes = append(s.routes, route.Route{
		Name: "quay.io", Upstream: "harbor", Prefix: "quay-proxy", Repositories: pattern.All("**"), ProxyCache: true, TagTTL: 15 * time.Minute,
	})
	s.usual = "docker.io"
}

// asMirror runs a conversation with a mirror by the sample routes.
func asMirror(t *testing.T, run func(*bubble)) { inBubble(t, account, sampleRoutes, run) }

func prefixThenNSThenDefault(t *testing.T) {
	asMirror(t, func(b *bubble) {
		b.harbor.AddProject(harbortest.Project{Name: "quay-proxy", ProxyCache: true})
		b.harbor.AddProject(harbortest.Project{Name: "team"})
		hub, err := b.harbor.Upstream("hub-proxy")
		b.must(err)
		quay, err := b.harbor.Upstream("quay-proxy")
		b.must(err)
		own, err := b.harbor.Content("team")
		b.must(err)
		digests := map[string]string{}
		for name, place := range map[string]*harbortest.Registry{"docker.io": hub, "quay.io": quay, "harbor.example.com": own} {
			image, err := harbortest.Image(name, 2000)
			b.must(err)
			pushed, err := place.Push("team/app", "1", image) // the same name at each
			b.must(err)
			digests[name] = pushed.String()
		}
		for target, name := range map[string]string{
			"/v2/team/app/manifests/1":                                       "docker.io",
			"/v2/team/app/manifests/1?ns=docker.io":                          "docker.io",
			"/v2/team/app/manifests/1?ns=quay.io":                            "quay.io",
			"/v2/team/app/manifests/1?ns=harbor.example.com":                 "harbor.example.com",
			"/v2/quay.io/team/app/manifests/1":                               "quay.io",
			"/quay.io/v2/team/app/manifests/1":                               "quay.io",
			"/v2/quay.io/team/app/manifests/1?ns=docker.io":                  "quay.io",
			"/quay.io/v2/team/app/manifests/1?ns=docker.io":                  "quay.io",
			"/harbor.example.com/v2/team/app/manifests/1?ns=quay.io":         "harbor.example.com",
			"/v2/harbor.example.com/team/app/manifests/1?ns=index.docker.io": "harbor.example.com",
		} {
			if got := b.get(200, "GET "+target).Header.Get("Docker-Content-Digest"); got != digests[name] {
				t.Errorf("%s is not of %s", target, name)
			}
		}
		for _, target := range []string{"/v2/team/app/manifests/1?ns=ghcr.io", "/ghcr.io/v2/team/app/manifests/1", "/v2/team/app/blobs/" + digests["quay.io"] + "?ns=ghcr.io"} {
			b.says(404, "NAME_UNKNOWN", "GET "+target)
		}
		for _, r := range b.harbor.Requests() {
			if strings.Contains(r.Query, "ns=") {
				t.Errorf("Harbor was asked %s?%s", r.Path, r.Query)
			}
		}
	})
}

func askedOnEachResource(t *testing.T) {
	asMirror(t, func(b *bubble) {
		image := b.sample("app", 3000)
		alice := b.asking(access.Everything())
		for _, target := range append(image.targets(), "/v2/", "/v2/library/app/tags/list", "/v2/_catalog") {
			for _, nothing := range [][]string{nil, {"Authorization: Basic Og=="}} {
				if got := b.says(401, "UNAUTHORIZED", "GET "+target, nothing...); !strings.HasPrefix(got.Header.Get("Www-Authenticate"), "Basic realm=") {
					t.Errorf("%s: no challenge: %v", target, got.Header)
				}
			}
			b.get(200, "GET "+target, alice)
		}
		for _, why := range b.events.refusals {
			if why != access.NoCredentials {
				t.Errorf("none, or empty ones, count as %s", why)
			}
		}
	})
}

func authorizationGoesNowhere(t *testing.T) {
	asMirror(t, func(b *bubble) {
		image, hub := b.sample("app", 3000), authorization("alice", "password-at-docker.io") // some clients send what they have for there
		for _, target := range append(image.targets(), "/v2/library/app/tags/list") {
			b.get(200, "GET "+target, hub)
			if got := b.get(200, "GET "+target); got.Header.Get("Vary") == "Authorization" || got.Header.Get("Cache-Control") == "private" {
				t.Errorf("%s depends on who asks: %v", target, got.Header)
			}
		}
		b.harborSaw(t, strings.TrimPrefix(hub, "Authorization: "))
		if strings.Contains(b.log.String(), strings.TrimPrefix(hub, "Authorization: Basic ")) {
			t.Error("the log has it")
		}
	}) // whose nothingSecret looks through all that was written, as well
}

func permissionOnTheResource(t *testing.T) {
	asMirror(t, func(b *bubble) {
		alice := b.asking(access.Policy{{Subjects: pattern.All("alice"), Pull: pattern.All("docker.io/library/**")}})
		bob := authorization("bob", client)
		open, secret := b.sample("app", 3000), b.imageOf("team-b/secret", "1.0")
		closed := sample{repository: secret.repository, tag: secret.tag, manifest: secret.manifest, layer: secret.blob}
		for i := range open.targets() {
			b.get(200, "GET "+open.targets()[i], alice)
			b.says(403, "DENIED", "GET "+open.targets()[i], bob)
			b.says(403, "DENIED", "GET "+closed.targets()[i]+"?ns=harbor.example.com", alice)
		}
		// No client is sent for a token, and none is made.
		challenge := b.send("GET /v2/").Header.Values("Www-Authenticate")
		if len(challenge) != 1 || strings.Contains(challenge[0], "Bearer") {
			t.Errorf("the challenge is %q", challenge)
		}
		b.says(404, "UNSUPPORTED", "GET /token?service=mirror&scope=repository%3Alibrary%2Fapp%3Apull", alice)
	})
}

func headAndGetAgree(t *testing.T) {
	asMirror(t, func(b *bubble) {
		agree := func(reference string) string {
			head, got := b.get(200, "HEAD /v2/library/app/manifests/"+reference), b.get(200, "GET /v2/library/app/manifests/"+reference)
			for _, name := range []string{"Content-Type", "Content-Length", "Docker-Content-Digest", "Etag"} {
				if head.Header.Get(name) != got.Header.Get(name) || got.Header.Get(name) == "" {
					t.Errorf("%s of %s: %q, then %q", name, reference, head.Header.Get(name), got.Header.Get(name))
				}
			}
			if digest.FromBytes(got.body).String() != head.Header.Get("Docker-Content-Digest") || len(head.body) != 0 {
				t.Errorf("%s is not what HEAD said", reference)
			}
			return head.Header.Get("Docker-Content-Digest")
		}
		before := b.sample("app", 3000).manifest
		if agree("1") != before || agree(before) != before {
			t.Error("another manifest is served")
		}
		after := b.sample("app", 4000).manifest // the tag moves
		if agree("1") != before {
			t.Error("the tag moved here while it was fresh")
		}
		b.pass(16 * time.Minute)
		if agree("1") != after || agree(before) != before {
			t.Error("the tag did not move, or what it was is gone")
		}
	})
}

func neverWrongBytes(t *testing.T) {
	asMirror(t, func(b *bubble) {
		small, large := b.sample("app", 3000), b.sample("large", 512<<10)
		b.saw()
		b.harbor.AddFault(harbortest.Fault{WrongDigest: true, Match: func(r *http.Request) bool { return harbortest.Blobs(r) || harbortest.Manifests(r) }})
		for _, target := range append(small.targets(), large.targets()...) {
			v := b.visit(target, 0)
			if v.status == 200 && (target != large.blob() || v.body.Len() >= large.size) {
				t.Errorf("%s: %d, %d bytes", target, v.status, v.body.Len())
			}
		}
		b.clearFaults()
		b.harbor.AddFault(harbortest.Fault{HTML: true, Match: harbortest.Manifests})
		b.pass(time.Hour)
		for _, target := range small.targets()[:2] {
			if got := b.send("GET " + target); got.StatusCode != 502 && got.StatusCode != 503 || got.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %s %s, for a page", target, got.Status, got.Header.Get("Content-Type"))
			}
		}
		b.clearFaults()
		b.pass(time.Hour)
		for _, target := range append(small.targets(), large.targets()...) {
			b.get(200, "GET "+target)
		}
	})
}

func neverACut(t *testing.T) {
	asMirror(t, func(b *bubble) {
		large := b.sample("large", 512<<10)
		b.saw()
		for _, after := range []int64{1, 100_000, 300_000} { // each time where it goes on
			b.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, Cut: true, After: after, Times: 1})
		}
		if v := b.visit(large.blob(), 0); v.status != 200 || digest.FromBytes(v.body.Bytes()).String() != large.layer {
			t.Errorf("%d, %d bytes of %d", v.status, v.body.Len(), large.size)
		}
		if n := b.events.told("resumed"); n != 3 {
			t.Errorf("resumed %d times, not 3", n)
		}
	})
}

func rangesOfAllKinds(t *testing.T) {
	asMirror(t, func(b *bubble) {
		large := b.sample("large", 512<<10)
		whole := b.get(200, "GET "+large.blob())
		size := len(whole.body)
		for asked, want := range map[string][2]int{
			"0-": {0, size}, "1000-": {1000, size}, "0-1": {0, 2}, "1000-1999": {1000, 2000}, "-7": {size - 7, size},
			fmt.Sprintf("1000-%d", size): {1000, size}, "1000-99999999": {1000, size},
		} {
			got := b.get(206, "GET "+large.blob(), "Range: bytes="+asked)
			if !bytes.Equal(got.body, whole.body[want[0]:want[1]]) || got.Header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/%d", want[0], want[1]-1, size) {
				t.Errorf("%s: %s, %d bytes", asked, got.Header.Get("Content-Range"), len(got.body))
			}
		}
		if got := b.get(416, "GET "+large.blob(), fmt.Sprintf("Range: bytes=%d-", size)); got.Header.Get("Content-Range") != fmt.Sprintf("bytes */%d", size) {
			t.Errorf("past the end: %v", got.Header)
		}
		many := make([]string, 1024)
		for i := range many {
			many[i] = fmt.Sprintf("%d-%d", i*500, i*500+99)
		}
		got := b.get(206, "GET "+large.blob(), "Range: bytes="+strings.Join(many, ","))
		if n := bytes.Count(got.body, []byte("Content-Range: bytes ")); n != len(many) || !strings.HasPrefix(got.Header.Get("Content-Type"), "multipart/byteranges; boundary=") {
			t.Errorf("%d parts of %s", n, got.Header.Get("Content-Type"))
		}
		tag := whole.Header.Get("Etag")
		if tag != `"`+large.layer+`"` {
			t.Errorf("the ETag is %s", tag)
		}
		b.get(304, "GET "+large.blob(), "If-None-Match: "+tag)
		b.get(206, "GET "+large.blob(), "Range: bytes=0-1", "If-Range: "+tag)
		b.get(200, "GET "+large.blob(), "Range: bytes=0-1", `If-Range: "another"`)
		b.get(200, "GET "+large.blob(), "X-Long: "+strings.Repeat("x", 60<<10))
	})
}

func oneTransfer(t *testing.T) {
	const size, part = 8 * mib, mib
	_, body := random(size)
	asMirror(t, func(b *bubble) {
		target := b.push("team-a/app", body) + "?ns=harbor.example.com"
		b.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, Rate: mib})
		var clients sync.WaitGroup
		for at := 0; at < size; at += part { // each leaves when it has its part, the first at once
			clients.Go(func() {
				want := part
				if at == 0 {
					want = 1
				}
				if v := b.visit(target, want, fmt.Sprintf("Range: bytes=%d-", at)); !bytes.HasPrefix(body[at:], v.body.Bytes()) {
					t.Errorf("from %d: other bytes", at)
				}
			})
		}
		clients.Wait()
		b.pass(time.Minute)
		if n := b.sent(); n != size {
			t.Errorf("Harbor sent %d bytes for %d", n, size)
		}
		other := bytes.Repeat([]byte("alone"), size/5)
		alone := b.push("team-a/app", other) + "?ns=harbor.example.com"
		b.saw()
		b.clearFaults()
		b.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, Rate: 64 << 10}) // two minutes
		b.visit(alone, 1000)
		b.pass(5 * time.Minute)
		if n := b.sent(); n == 0 || n >= int64(len(other)) {
			t.Errorf("after its only client had left Harbor sent %d bytes", n)
		}
	})
}
