//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"breakwater/internal/harbortest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// A puller pulls one image with a real client and compares what came.
type puller struct {
	name       string
	repository string
	pull       func(t *testing.T)
}

// What was pulled once is pulled again without Harbor's content being asked for, and
// without any Harbor, long after tags and refusals have been looked at again.
func TestPullsAgainWarmAndWithHarborDown(t *testing.T) {
	const freshness = time.Second // of tags, and the time after which a refusal is asked about again
	w := newCacheWorld(t, settings{upstream: []string{"tag_ttl: 1s", "denial_confirm: 1s"}})
	pullers := w.pullers(t)
	for _, p := range pullers {
		t.Run("cold/"+p.name, func(t *testing.T) {
			p.pull(t)
			w.quiet()
			if !heardOf(w.contentRequests(), "GET", p.repository, "/blobs/") {
				t.Error("Harbor was not asked for a blob: this pull was not cold")
			}
		})
	}
	for _, p := range pullers {
		t.Run("warm/"+p.name, func(t *testing.T) {
			w.harbor.ResetRequests()
			p.pull(t)
			w.quiet()
			for _, request := range w.contentRequests() {
				if request != "HEAD /v2/"+p.repository+"/manifests/1.0" {
					t.Errorf("Harbor heard %s", request)
				}
			}
		})
	}
	for _, part := range []harbortest.Part{harbortest.Core, harbortest.Database} {
		w.harbor.SetDown(part, true)
		for _, since := range []string{"just now", "for a while"} { // the first refusal was asked about again
			time.Sleep(freshness + 200*time.Millisecond)
			for _, p := range pullers {
				t.Run(string(part)+" down "+since+"/"+p.name, p.pull)
			}
		}
		w.harbor.SetDown(part, false)
	}
	if !strings.Contains(w.tap.answers(), "Cache-Status: breakwater; hit; detail=stale\r\n") {
		t.Error("no answer says that it is stale")
	}
	if n := w.value(t, "cache_stale_answers_total", "kind", "manifest"); n == 0 {
		t.Error("the metrics count no stale manifest")
	}
	if n := w.value(t, "cache_denials_total", "state", "confirmed"); n != 0 {
		t.Errorf("%v refusals of a Harbor that was down were believed", n)
	}
}

// pullers push an image for each client, so that none finds another's, and return
// how each pulls it.
func (w *cacheWorld) pullers(t *testing.T) []puller {
	t.Helper()
	image := func(client string) v1.Image {
		img := must(harbortest.Image(client, 300_000, 40_000))(t)
		must(w.harbor.Push("team-a/by-"+client, "1.0", img))(t)
		return img
	}
	forCrane, forSkopeo, forDocker := image("crane"), image("skopeo"), image("docker")
	home, docker := newHome(t), startDocker(t, w.registry)
	return []puller{
		{"crane", "team-a/by-crane", func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "image.tar")
			home.run(t, tool(t, "crane"), "pull", w.registry+"/team-a/by-crane:1.0", path)
			if got := configOf(t, must(tarball.ImageFromPath(path, nil))(t)); got != configOf(t, forCrane) {
				t.Errorf("config %s, want %s", got, configOf(t, forCrane))
			}
			home.run(t, tool(t, "crane"), "validate", "--tarball", path)
		}},
		{"crane, all platforms", "team-a/multi", func(t *testing.T) {
			dir := t.TempDir()
			home.run(t, tool(t, "crane"), "pull", "--format", "oci", w.registry+"/team-a/multi:1.0", dir)
			checkLayout(t, dir, w.harbor.multi)
		}},
		{"skopeo", "team-a/by-skopeo", func(t *testing.T) {
			dir := t.TempDir()
			home.run(t, installed(t, "skopeo"), "--insecure-policy", "copy", "--src-tls-verify=false",
				"docker://"+w.registry+"/team-a/by-skopeo:1.0", "dir:"+dir)
			checkFile(t, filepath.Join(dir, "manifest.json"), digestOf(t, forSkopeo))
			checkBlobs(t, dir, forSkopeo)
		}},
		{"docker", "team-a/by-docker", func(t *testing.T) {
			reference := w.registry + "/team-a/by-docker:1.0"
			docker.pull(t, reference)
			docker.checkImage(t, reference, digestOf(t, forDocker), forDocker)
			docker.run(t, "image", "rm", "--force", reference) // so that the next pull pulls
		}},
	}
}

// heardOf tells whether there is a request with this method and all these parts.
func heardOf(requests []string, method string, parts ...string) bool {
	for _, request := range requests {
		found := strings.HasPrefix(request, method+" ")
		for _, part := range parts {
			found = found && strings.Contains(request, part)
		}
		if found {
			return true
		}
	}
	return false
}
