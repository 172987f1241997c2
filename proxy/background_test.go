package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/blobcache"
	"breakwater/internal/harbortest"
	"breakwater/internal/pattern"
	"breakwater/proxy/registry"
	"breakwater/proxy/route"

	"github.com/opencontainers/go-digest"
)

// What a new manifest lists and is held for another repository is proven for its own
// in the background, so that an outage finds it linked.
func TestHeldChildrenAreProven(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		b.pull("team-a/app", "1.0")
		b.pass(time.Second) // its blobs are durable a moment after their last bytes
		b.saw()
		manifest := b.get(200, "GET /v2/team-a/nested/deep/name/manifests/1.0")
		b.pass(time.Second)
		var shared, own []string
		for _, child := range listed(t, manifest.body) {
			if path := "/v2/team-a/nested/deep/name/blobs/" + child.digest.String(); b.cache.Held(child.digest) {
				shared = append(shared, path)
			} else {
				own = append(own, path)
			}
		}
		if len(shared) != 1 || len(own) != 1 {
			t.Fatalf("%d are shared, %d are not: this test is about one of each", len(shared), len(own))
		}
		if got := b.content(); !slices.Contains(got, "HEAD "+shared[0]+" Bearer 200") || len(got) != 3 {
			t.Errorf("Harbor saw\n\t%s", strings.Join(got, "\n\t"))
		}
		b.harbor.SetDown(harbortest.Core, true)
		b.get(200, "GET "+shared[0])
		b.get(503, "GET "+own[0]) // nobody had it, and it is not for us to fetch
	})
}

// complete is the policy that has everything of team-a fetched.
func complete(p *settings) {
	p.routes = append(p.routes, route.Route{Name: "a.example.com", Upstream: "harbor", Prefix: "team-a", Repositories: pattern.All("**"), Complete: true, TagTTL: 10 * time.Second})
}

// Of a project that is to be complete all that a manifest lists is fetched.
func TestCompleteImage(t *testing.T) {
	inBubble(t, account, complete, func(b *bubble) {
		manifest := b.get(200, "GET /v2/team-a/app/manifests/1.0")
		b.pass(10 * time.Second)
		for _, child := range listed(t, manifest.body) {
			want := "GET /v2/team-a/app/blobs/" + child.digest.String() + " Bearer 200"
			if n := count(b.questions(), want); n != 1 {
				t.Errorf("%s: %d times", want, n)
			}
		}
		b.harbor.SetDown(harbortest.Core, true)
		b.pass(time.Minute)
		b.pull("team-a/app", "1.0")
	})
}

// Of an index only those platforms are fetched that clients asked for.
func TestCompleteIndex(t *testing.T) {
	inBubble(t, account, complete, func(b *bubble) {
		index := b.get(200, "GET /v2/team-a/multi/manifests/1.0")
		b.pass(10 * time.Second)
		children := listed(t, index.body) // amd64, arm64
		for _, child := range children {
			if b.cache.Held(child.digest) {
				t.Errorf("%s was fetched, and no client runs it", child.digest)
			}
		}
		wanted := b.get(200, "GET /v2/team-a/multi/manifests/"+children[0].digest.String())
		b.pass(10 * time.Second)
		for _, blob := range listed(t, wanted.body) {
			if !b.cache.Held(blob.digest) {
				t.Errorf("%s of the platform that a client runs is missing", blob.digest)
			}
		}

		// The next version: the platform that clients run is fetched with the index.
		next, err := harbortest.Index("next", harbortest.Image, 3000, "amd64", "arm64")
		if err != nil {
			t.Fatal(err)
		}
		content, err := b.harbor.Content("team-a")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := content.PushIndex("team-a/multi", "2.0", next); err != nil {
			t.Fatal(err)
		}
		index = b.get(200, "GET /v2/team-a/multi/manifests/2.0")
		b.pass(10 * time.Second)
		children = listed(t, index.body)
		if !b.cache.Held(children[0].digest) || b.cache.Held(children[1].digest) {
			t.Errorf("amd64 is held: %t, arm64: %t", b.cache.Held(children[0].digest), b.cache.Held(children[1].digest))
		}
		b.harbor.SetDown(harbortest.Core, true)
		b.get(200, "GET /v2/team-a/multi/manifests/2.0")
		b.pull("team-a/multi", children[0].digest.String())
	})
}

// questions are all that Harbor saw, and leave its log as it is.
func (b *bubble) questions() []string {
	var lines []string
	for _, r := range b.harbor.Requests() {
		lines = append(lines, fmt.Sprintf("%s %s %s %d", r.Method, r.Path, r.Scheme, r.Status))
	}
	return lines
}

func count(lines []string, want string) (n int) {
	for _, line := range lines {
		if line == want {
			n++
		}
	}
	return n
}

// The blobs of a manifest that is hit count as used with it, every five minutes.
func TestBlobsAreAsRecentAsTheirManifest(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		pulled := b.pull("team-a/app", "1.0")
		blob := listed(t, pulled.body)[1].digest
		hit := func() { b.get(200, "GET /v2/team-a/app/manifests/"+pulled.Header.Get("Docker-Content-Digest")) }
		used := func() (at time.Time) {
			err := b.cache.Entries(t.Context(), "team-a/app", func(e blobcache.Entry) error {
				if e.Digest == blob {
					at = e.Used
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return at
		}
		b.pass(time.Hour)
		hit()
		touched := time.Now()
		if got := used(); !got.Equal(touched) {
			t.Errorf("after an hour's pause its last use is %v ago", time.Since(got))
		}
		b.pass(5*time.Minute - time.Second)
		hit()
		if got := used(); !got.Equal(touched) {
			t.Errorf("it was touched again after %v", got.Sub(touched))
		}
		b.pass(time.Second)
		hit()
		if got := used(); !got.Equal(time.Now()) {
			t.Errorf("after five minutes its last use is %v ago", time.Since(got))
		}
	})
}

// What is not there is asked for once in five seconds.
func TestNegativeAnswers(t *testing.T) {
	none := strings.Repeat("0", 64)
	for name, request := range map[string]string{
		"tag": "GET /v2/team-a/app/manifests/none", "HEAD of a tag": "HEAD /v2/team-a/app/manifests/none",
		"signature":          "GET /v2/team-a/app/manifests/sha256-" + none + ".sig",
		"manifest":           "GET /v2/team-a/app/manifests/sha256:" + none,
		"HEAD of a manifest": "HEAD /v2/team-a/app/manifests/sha256:" + none,
		"blob":               "GET /v2/team-a/app/blobs/sha256:" + none,
		"HEAD of a blob":     "HEAD /v2/team-a/app/blobs/sha256:" + none,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, account, nil, func(b *bubble) {
				b.get(404, request)
				once := len(b.content())
				if once == 0 || once > 2 {
					t.Errorf("one question became %d", once)
				}
				for range 49 {
					b.pass(100 * time.Millisecond)
					b.get(404, request)
				}
				if got := b.content(); len(got) != 0 {
					t.Errorf("within five seconds Harbor saw %q", got)
				}
				b.pass(100 * time.Millisecond)
				b.get(404, request)
				if got := b.content(); len(got) != once {
					t.Errorf("after five seconds Harbor saw %q", got)
				}
			})
		})
	}
}

// That nothing refers to an image is believed for five seconds, and never longer; what
// refers to one is asked for each time.
func TestEmptyReferrers(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		subject := b.get(200, "HEAD /v2/team-a/app/manifests/1.1").Header.Get("Docker-Content-Digest")
		path := "GET /v2/team-a/app/referrers/" + subject
		first := b.get(200, path)
		b.saw()
		again := b.get(200, path)
		b.expect()
		if string(first.body) != string(again.body) || again.Header.Get("Content-Type") != registry.TypeOCIIndex {
			t.Errorf("%s, then %s as %s", first.body, again.body, again.Header.Get("Content-Type"))
		}
		b.get(200, path+"?artifactType=application/none")
		if len(b.content()) != 1 {
			t.Error("another question was answered by that")
		}
		b.pass(4900 * time.Millisecond)
		b.get(200, path)
		b.expect()
		b.harbor.SetDown(harbortest.Core, true)
		b.pass(100 * time.Millisecond)
		if a := b.send(path); a.StatusCode < 500 {
			t.Errorf("with Harbor down: %s", a.Status)
		}
		b.harbor.SetDown(harbortest.Core, false)

		full := "GET /v2/team-a/app/referrers/" + b.get(200, "HEAD /v2/team-a/app/manifests/1.0").Header.Get("Docker-Content-Digest")
		b.saw()
		b.get(200, full)
		b.get(200, full)
		if got := b.content(); len(got) != 2 {
			t.Errorf("Harbor saw %q", got)
		}
	})
}

// Images that were first pulled together are not reported together: each at its own
// time within the last tenth of the day.
func TestReportsAreSpread(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		var manifests []string
		for _, tag := range []string{"1.0", "1.1", "latest", "a1", "a2", "a3", "a4", "a5"} {
			a := b.get(200, "GET /v2/team-a/app/manifests/"+tag)
			manifests = append(manifests, "/v2/team-a/app/manifests/"+a.Header.Get("Docker-Content-Digest"))
		}
		began := time.Now()
		b.saw()
		for time.Since(began) < 24*time.Hour+time.Minute {
			b.pass(2 * time.Minute)
			for _, manifest := range manifests {
				b.get(200, "GET "+manifest)
			}
		}
		b.pass(time.Second)
		times := make(map[time.Duration]bool)
		reports := 0
		for _, r := range b.harbor.Requests() {
			if !r.IsManifest() {
				continue
			}
			after := r.Time.Sub(began)
			if r.Method != http.MethodGet || after < 24*time.Hour*9/10 || after > 24*time.Hour+3*time.Minute {
				t.Errorf("%s %s after %v", r.Method, r.Path, after)
			}
			times[after] = true
			reports++
		}
		if reports != len(manifests) || len(times) == 1 {
			t.Errorf("%d reports at %d times", reports, len(times))
		}
	})
}

// layers makes a manifest of layers that Harbor does not look at, and pushes it.
func (b *bubble) layers(repository, tag string, digests []digest.Digest) {
	b.Helper()
	content, err := b.harbor.Content(strings.Split(repository, "/")[0])
	if err != nil {
		b.Fatal(err)
	}
	config, err := content.PushBlob(repository, []byte("{}"))
	if err != nil {
		b.Fatal(err)
	}
	type descriptor struct {
		MediaType string   `json:"mediaType"`
		Digest    string   `json:"digest"`
		Size      int      `json:"size"`
		URLs      []string `json:"urls,omitempty"`
	}
	var layers []descriptor
	for _, d := range digests {
		layers = append(layers, descriptor{"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", d.String(), 100, []string{"https://example.com"}})
	}
	body, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": registry.TypeOCIManifest, "layers": layers,
		"config": descriptor{MediaType: "application/vnd.oci.image.config.v1+json", Digest: config.String(), Size: 2},
	})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := content.PushManifest(repository, tag, registry.TypeOCIManifest, body); err != nil {
		b.Fatal(err)
	}
}

// What waits in the background has a bound, whatever the manifests list, and no pull
// waits for it.
func TestTheQueueIsBounded(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		b.stop()
		b.dir = "" // five thousand documents are for memory only
		b.open(account)
		const manifests, each = 5, 1000
		for i := range manifests {
			var digests []digest.Digest
			for j := range each {
				body := fmt.Appendf(nil, "document %d of %d", j, i)
				b.cache.Keep(digest.FromBytes(body), body)
				digests = append(digests, digest.FromBytes(body))
			}
			b.layers("team-b/secret", fmt.Sprint("many", i), digests)
		}
		b.get(200, "GET /v2/team-b/secret/manifests/1.0") // and the token
		b.harbor.AddFault(harbortest.Fault{Match: func(r *http.Request) bool { return harbortest.Blobs(r) && r.Method == http.MethodHead }, Delay: 5 * time.Second})
		b.saw()
		began := time.Now()
		for i := range manifests {
			b.get(200, fmt.Sprint("GET /v2/team-b/secret/manifests/many", i))
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the pulls waited %v for what is done in the background", took)
		}
		b.saw()
		b.pass(3 * time.Hour)
		asked := 0
		for _, line := range b.content() {
			if strings.HasPrefix(line, "HEAD ") {
				asked++
			}
		}
		if asked == 0 || asked > manifests*each {
			t.Errorf("%d questions about %d children", asked, manifests*each)
		}
	})
}

// A manifest that lists the same again and again, as whoever may push can make one,
// costs upstream one question.
func TestListedManyTimes(t *testing.T) {
	inBubble(t, account, nil, func(b *bubble) {
		children := listed(t, b.pull("team-a/app", "1.0").body)
		b.pass(time.Second)
		for tag, d := range map[string]digest.Digest{"granted": children[1].digest, "refused": children[2].digest} {
			b.layers("team-a/nested/deep/name", tag, slices.Repeat([]digest.Digest{d}, 2000))
			b.saw()
			b.get(200, "GET /v2/team-a/nested/deep/name/manifests/"+tag)
			b.pass(time.Hour)
			asked := 0
			for _, line := range b.content() {
				if strings.Contains(line, "/blobs/") {
					asked++
				}
			}
			if asked == 0 || asked > 2 { // a HEAD, and a GET where that says 404
				t.Errorf("%s: one blob that is listed 2,000 times was asked for %d times", tag, asked)
			}
		}
	})
}
