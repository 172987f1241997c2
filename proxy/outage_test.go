package proxy_test

import (
	"strings"
	"testing"
	"time"

	"breakwater/internal/harbortest"
)

// Whatever part of Harbor is down, and however that looks from outside, everything
// that was pulled before is pulled again, by tag and by digest.
func TestOutages(t *testing.T) {
	pulled := []string{"team-a/app:1.0", "team-a/multi:1.0", "library/multi-docker:1.0", "hub-proxy/library/fresh:1.0", "hub-proxy/library/freshmulti:1.0"}
	for _, part := range []harbortest.Part{harbortest.Database, harbortest.Storage, harbortest.Core, harbortest.TokenService, harbortest.ProxyUpstream} {
		t.Run(strings.ReplaceAll(string(part), " ", "_"), func(t *testing.T) {
			inBubble(t, account, nil, func(b *bubble) {
				digests := map[string]string{}
				for _, image := range pulled {
					repository, tag, _ := strings.Cut(image, ":")
					digests[image] = b.pull(repository, tag).Header.Get("Docker-Content-Digest")
				}
				b.harbor.StoreProxied()
				b.harbor.SetDown(part, true)
				// Minutes, in which refusals are asked again; then hours, in which tokens,
				// and what Harbor itself remembers, run out.
				for _, later := range []time.Duration{11 * time.Second, time.Minute, 5 * time.Minute, 20 * time.Minute, 3 * time.Hour, 24 * time.Hour} {
					b.pass(later)
					for _, image := range pulled {
						repository, tag, _ := strings.Cut(image, ":")
						if got := b.pull(repository, tag).Header.Get("Docker-Content-Digest"); got != digests[image] {
							t.Fatalf("after %s: %s is %s", later, image, got)
						}
						b.pull(repository, digests[image])
					}
				}
				if n := b.events.told("denial confirmed"); n != 0 {
					t.Errorf("%d denials were confirmed during an outage", n)
				}
				b.harbor.SetDown(part, false)
				b.pass(20 * time.Minute)
				for _, image := range pulled {
					repository, tag, _ := strings.Cut(image, ":")
					b.pull(repository, tag)
				}
			})
		})
	}
}

// Beyond stale_if_error a tag is not served any more; digests are.
func TestStaleHasAnEnd(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		manifest := b.pull("team-a/app", "1.0").Header.Get("Docker-Content-Digest")
		b.harbor.SetDown(harbortest.Core, true)
		b.pass(167 * time.Hour)
		a := b.get(200, "GET /v2/team-a/app/manifests/1.0")
		if !strings.Contains(a.Header.Get("Cache-Status"), "stale") || a.Header.Get("Age") == "" {
			t.Errorf("a stale tag does not say so: %v", a.Header)
		}
		b.pass(2 * time.Hour)
		b.get(503, "GET /v2/team-a/app/manifests/1.0")
		b.pull("team-a/app", manifest)
	})
}

// What belongs to signatures is never served stale: that there is none says
// something.
func TestReferrersTagsAreNeverStale(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		subject := b.pull("team-a/app", "1.0").Header.Get("Docker-Content-Digest")
		tag := "sha256-" + strings.TrimPrefix(subject, "sha256:") + ".sig"
		found := b.send("GET /v2/team-a/app/manifests/" + tag).StatusCode
		b.harbor.SetDown(harbortest.Core, true)
		b.pass(time.Minute)
		if got := b.send("GET /v2/team-a/app/manifests/" + tag).StatusCode; got != 503 {
			t.Errorf("%d before, %d with Harbor down", found, got)
		}
	})
}

// A proxy-cache project whose own upstream is away may name a trimmed index for a
// while. It is believed only when it lasts.
func TestAPoorerIndexMustLast(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		whole := b.pull("hub-proxy/library/trim", "1").Header.Get("Docker-Content-Digest")
		content, err := b.harbor.Upstream("hub-proxy")
		if err != nil {
			t.Fatal(err)
		}
		trimmed, err := harbortest.Index("trimmed", harbortest.Image, 2000, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		poorer, err := content.PushIndex("library/trim", "1", trimmed)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			b.pass(14 * time.Minute)
			if got := b.pull("hub-proxy/library/trim", "1").Header.Get("Docker-Content-Digest"); got != whole {
				t.Fatalf("the poorer index %s was believed at once", got)
			}
		}
		b.pass(16 * time.Minute)
		b.pull("hub-proxy/library/trim", "1")
		b.pass(16 * time.Minute)
		if got := b.pull("hub-proxy/library/trim", "1").Header.Get("Docker-Content-Digest"); got != poorer.String() {
			t.Errorf("after an hour the tag is still %s", got)
		}
	})
}
