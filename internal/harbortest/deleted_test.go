package harbortest

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// asked tells status and error message of a manifest's GET, and status of its
// HEAD where that differs.
func (c *client) asked(repository, reference string, header http.Header) string {
	c.t.Helper()
	path := "/v2/" + repository + "/manifests/" + reference
	response, body, err := c.do(http.MethodGet, path, header)
	if err != nil {
		c.t.Fatal(err)
	}
	head, _, err := c.do(http.MethodHead, path, header)
	if err != nil {
		c.t.Fatal(err)
	}
	answer := fmt.Sprint(response.StatusCode)
	if head.StatusCode != response.StatusCode {
		answer += fmt.Sprintf(", HEAD %d", head.StatusCode)
	}
	if response.StatusCode != http.StatusOK {
		answer += " " + string(body)
	}
	return answer
}

func (c *client) expect(what, got, want string) {
	c.t.Helper()
	if got != want {
		c.t.Errorf("%s:\n\t%s\nwant\n\t%s", what, got, want)
	}
}

// notFound is the recorded answer to what a repository does not have.
func notFound(artifact string) string {
	return `404 {"errors":[{"code":"NOT_FOUND","message":"artifact ` + artifact + ` not found"}]}` + "\n"
}

// A tag that was deleted is gone, its manifest is not; a manifest goes with all
// its tags, and leaves its blobs behind.
func TestDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		defer c.close()
		g := c.content("team-a")
		header := c.bearer(Puller, appPull)
		img, err := Image("deleted", 3000)
		c.must(err)
		var pushed v1.Hash
		for _, tag := range []string{"one", "two", "three"} {
			pushed, err = g.Push("team-a/app", tag, img)
			c.must(err)
		}
		layer, _ := c.layer(g, "team-a/app", "one")

		c.must(g.DeleteTag("team-a/app", "one"))
		c.expect("a deleted tag", c.asked("team-a/app", "one", header), notFound("team-a/app:one"))
		c.expect("another tag of the manifest", c.asked("team-a/app", "two", header), "200")
		c.expect("the manifest", c.asked("team-a/app", pushed.String(), header), "200")

		c.must(g.DeleteManifest("team-a/app", pushed))
		c.expect("a tag of a deleted manifest", c.asked("team-a/app", "two", header), notFound("team-a/app:two"))
		c.expect("another tag of it", c.asked("team-a/app", "three", header), notFound("team-a/app:three"))
		c.expect("a deleted manifest", c.asked("team-a/app", pushed.String(), header), notFound("team-a/app@"+pushed.String()))
		if tags, _ := g.tags("team-a/app"); slices.Contains(tags, "one") || slices.Contains(tags, "two") || slices.Contains(tags, "three") {
			t.Errorf("deleted tags are listed: %q", tags)
		}
		c.expect("a tag of another manifest", c.asked("team-a/app", "1.0", header), "200")
		if got := c.status("/v2/team-a/app/blobs/"+layer, header); got != http.StatusOK {
			t.Errorf("a layer of a deleted manifest: %d", got)
		}

		for what, err := range map[string]error{
			"tag":        g.DeleteTag("team-a/app", "one"),
			"manifest":   g.DeleteManifest("team-a/app", pushed),
			"repository": g.DeleteTag("team-a/none", "1.0"),
		} {
			if err == nil {
				t.Errorf("a %s that is not there was deleted", what)
			}
		}
		_, err = g.Push("team-a/app", "one", img)
		c.must(err)
		c.expect("a tag that was pushed again", c.asked("team-a/app", "one", header), "200")
	})
}

// A proxy-cache project follows its upstream.
func TestDeletedUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		defer c.close()
		header := c.bearer(Everything, "repository:hub-proxy/library/fresh:pull")
		c.expect("a tag upstream", c.asked("hub-proxy/library/fresh", "1.0", header), "200")
		c.must(c.upstream().DeleteTag("library/fresh", "1.0"))
		c.expect("a tag that upstream has no more", c.asked("hub-proxy/library/fresh", "1.0", header),
			`404 {"errors":[{"code":"NOT_FOUND","message":"resource not found: repo hub-proxy/library/fresh, tag 1.0 not found"}]}`+"\n")
		c.expect("another tag", c.asked("hub-proxy/library/fresh", "2.0", header), "200")
	})
}

func (c *client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}
