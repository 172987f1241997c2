//go:build e2e

package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
)

// An operator looks after the cache, of the running instance and of the stopped one:
// the same commands, the same answers, and what was done holds when it serves again.
func TestOperatorLooksAfterTheCache(t *testing.T) {
	for _, state := range []string{"running", "stopped"} {
		t.Run(state, func(t *testing.T) {
			w := newCacheWorld(t, settings{upstream: []string{"tag_ttl: 1h"}})
			o := &operator{w, state == "stopped"}
			app, base := "team-a/app", "library/base"
			w.pull(t, app, w.harbor.app)
			w.pull(t, base, w.harbor.base)
			w.waitObjects(t, 2+len(contentOf(t, w.harbor.app))+len(contentOf(t, w.harbor.base)))

			o.act(t, func() { o.checkList(t, app, base) })
			w.harbor.ResetRequests()
			w.pull(t, app, w.harbor.app)
			w.pull(t, base, w.harbor.base)
			if asked := w.contentRequests(); len(asked) > 0 {
				t.Errorf("looking made Harbor hear %v", asked)
			}

			o.checkPurge(t, app, base)
			o.checkBlock(t, app)
		})
	}
}

// An operator acts on the instance while it runs, or while it is stopped.
type operator struct {
	*cacheWorld
	stopped bool
}

// act has do be done in the state that is to be tested; after it the instance runs.
func (o *operator) act(t *testing.T, do func()) {
	t.Helper()
	if !o.stopped {
		do()
		return
	}
	o.stop(t)
	do()
	o.serveAgain(t)
}

// pull gets the tag 1.0 and all that it names, and compares the digests.
func (w *cacheWorld) pull(t *testing.T, repository string, img v1.Image) {
	t.Helper()
	resp, body := w.ask(t, "/v2/"+repository+"/manifests/1.0", nil)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d: %.200s", repository, resp.StatusCode, body)
	}
	checkDigest(t, repository, body, digestOf(t, img))
	for _, hash := range contentOf(t, img) {
		resp, body := w.ask(t, "/v2/"+repository+"/blobs/"+hash.String(), nil)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d: %.200s", hash, resp.StatusCode, body)
		}
		checkDigest(t, hash.String(), body, hash)
	}
}

// contentOf an image are its layers and its config.
func contentOf(t *testing.T, img v1.Image) []v1.Hash {
	t.Helper()
	return append(layersOf(t, img), configOf(t, img))
}

// checkList compares what is listed with what was pulled: two images.
func (o *operator) checkList(t *testing.T, app, base string) {
	t.Helper()
	wanted := map[string][]string{}
	for repository, img := range map[string]v1.Image{app: o.harbor.app, base: o.harbor.base} {
		wanted[repository] = []string{digestOf(t, img).String()}
		for _, hash := range contentOf(t, img) {
			wanted[repository] = append(wanted[repository], hash.String())
		}
	}
	wanted[""] = slices.Concat(wanted[app], wanted[base])
	for repository, want := range wanted {
		args := slices.DeleteFunc([]string{"ls", repository}, func(arg string) bool { return arg == "" })
		var got []string
		tagged := false
		for _, entry := range keep[heldEntry](t, o.cacheWorld, args...) {
			got = append(got, entry.Digest.String())
			for _, tag := range entry.Tags {
				tagged = tagged || strings.HasSuffix(tag, repository+":1.0")
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || !tagged {
			t.Errorf("ls %s: %v, tagged %t; want %v and the tag 1.0", repository, got, tagged, want)
		}
	}
	stat := o.stat(t)
	if stat.Objects != len(wanted[""]) || stat.Tags != 2 || stat.Links != len(wanted[""]) || len(stat.Blocked) != 0 {
		t.Errorf("stat says %+v, want %d objects and links, and 2 tags", stat, len(wanted[""]))
	}
	o.checkAccounts(t)
	output, status := o.cache(t, "verify", "--rate", "0")
	if verdicts := values[verdict](t, output); status != 0 || len(verdicts) != stat.Objects {
		t.Errorf("verify: exit status %d and %d verdicts, want 0 and %d", status, len(verdicts), stat.Objects)
	}
}

// checkPurge purges a repository: its next pull goes to Harbor, another's does not.
func (o *operator) checkPurge(t *testing.T, app, base string) {
	t.Helper()
	o.act(t, func() {
		held := len(contentOf(t, o.harbor.app)) + 1
		if got := keep[purged](t, o.cacheWorld, "purge", app); len(got) != 1 || got[0].Objects != held || got[0].Links != held {
			t.Errorf("purge says %+v, want %d objects and links", got, held)
		}
		if left := keep[heldEntry](t, o.cacheWorld, "ls", app); len(left) > 0 {
			t.Errorf("after purge there are %v", left)
		}
		o.checkAccounts(t)
	})
	o.harbor.ResetRequests()
	o.pull(t, base, o.harbor.base)
	if asked := o.contentRequests(); len(asked) > 0 {
		t.Errorf("purging another repository made Harbor hear %v", asked)
	}
	o.pull(t, app, o.harbor.app)
	asked := o.contentRequests()
	for _, hash := range contentOf(t, o.harbor.app) {
		if !heardOf(asked, "GET", hash.String()) {
			t.Errorf("after purge Harbor was not asked for %s: %v", hash, asked)
		}
	}
	if !heardOf(asked, "GET", "/v2/"+app+"/manifests/") {
		t.Errorf("after purge Harbor was not asked for the manifest: %v", asked)
	}
}

// checkBlock blocks an image's manifest and one of its layers: both are refused at
// once, by tag too, until they are unblocked.
func (o *operator) checkBlock(t *testing.T, repository string) {
	t.Helper()
	manifest, layer := digest.Digest(digestOf(t, o.harbor.app).String()), digest.Digest(layersOf(t, o.harbor.app)[0].String())
	paths := []string{
		"/v2/" + repository + "/manifests/1.0",
		"/v2/" + repository + "/manifests/" + manifest.String(),
		"/v2/" + repository + "/blobs/" + layer.String(),
		"/v2/" + conformanceRepository + "/manifests/app", // the same image
		"/v2/" + conformanceRepository + "/blobs/" + layer.String(),
	}
	change := func(how string) {
		o.act(t, func() {
			for _, d := range []digest.Digest{manifest, layer} {
				if output, status := o.cache(t, how, d.String()); status != 0 {
					t.Errorf("cache %s: exit status %d: %s", how, status, output)
				}
			}
		})
	}
	change("block")
	o.harbor.ResetRequests()
	for _, path := range paths {
		resp, body := o.ask(t, path, nil)
		if resp.StatusCode != http.StatusForbidden || !strings.Contains(string(body), `"code":"DENIED"`) {
			t.Errorf("blocked: GET %s: status %d: %.200s; want 403 and DENIED", path, resp.StatusCode, body)
		}
	}
	if asked := o.contentRequests(); heardOf(asked, "GET", "/") {
		t.Errorf("Harbor was asked for blocked content: %v", asked)
	}
	blocked := o.stat(t).Blocked
	if len(blocked) != 2 || !slices.Contains(blocked, manifest) || !slices.Contains(blocked, layer) {
		t.Errorf("stat says that %v are blocked", blocked)
	}
	change("unblock")
	o.pull(t, repository, o.harbor.app)
	for _, path := range paths {
		if resp, body := o.ask(t, path, nil); resp.StatusCode != http.StatusOK {
			t.Errorf("unblocked: GET %s: status %d: %.200s", path, resp.StatusCode, body)
		}
	}
}

// What `breakwater cache` cannot do it says, with the exit status that tells whose
// mistake it is.
func TestCacheCommandRefuses(t *testing.T) {
	w := newCacheWorld(t, settings{})
	w.pull(t, "team-a/app", w.harbor.app)
	objects := 1 + len(contentOf(t, w.harbor.app))
	w.waitObjects(t, objects)
	for _, mistaken := range [][]string{
		{"purge"}, {"purge", "Not/A/Name"}, {"purge", "--all", "team-a/app"}, {"block", "team-a/app"}, {"verify", "--rate", "fast"}, {"defragment"},
	} {
		if output, status := w.cache(t, mistaken...); status != 2 {
			t.Errorf("cache %s: exit status %d, want 2: %s", strings.Join(mistaken, " "), status, output)
		}
	}
	if stat := w.stat(t); stat.Objects != objects {
		t.Errorf("a mistaken command took something away: %+v", stat)
	}
	if got := keep[purged](t, w, "purge", "--all"); len(got) != 1 || got[0].Objects != objects {
		t.Errorf("purge --all says %+v, want %d objects", got, objects)
	}
	if stat := w.stat(t); stat.Objects != 0 || stat.Links != 0 || stat.Tags != 0 || stat.Bytes != 0 {
		t.Errorf("after purge --all there is %+v", stat)
	}
	w.pull(t, "team-a/app", w.harbor.app)
}
