//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// The four requests that everything began with, as a person types them: what
// took a challenge, a token and a cookie at Harbor takes nothing here.
func TestFourFlowsWithCurl(t *testing.T) {
	w := newWorld(t)
	home := newHome(t)

	t.Run("v2 without a slash", func(t *testing.T) {
		resp, _ := w.curl(t, home, "/v2")
		if resp.StatusCode != http.StatusMovedPermanently {
			t.Errorf("status %d, want 301", resp.StatusCode)
		}
		if location, err := resp.Location(); err != nil || location.Path != "/v2/" || location.Host != "" && location.Host != w.registry {
			t.Errorf("Location %v (%v), want /v2/ on the same host", location, err)
		}
	})

	t.Run("v2", func(t *testing.T) {
		resp, _ := w.curl(t, home, "/v2/")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("status %d, want 200", resp.StatusCode)
		}
	})

	t.Run("catalog", func(t *testing.T) {
		resp, body := w.curl(t, home, "/v2/_catalog")
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d, want 200: %s", resp.StatusCode, body)
		}
		var catalog struct{ Repositories []string }
		decode(t, body, &catalog)
		for _, repository := range []string{"library/base", "team-a/app", "team-a/multi"} {
			if !slices.Contains(catalog.Repositories, repository) {
				t.Errorf("the catalog %v lacks %s", catalog.Repositories, repository)
			}
		}
	})

	t.Run("tags", func(t *testing.T) {
		resp, body := w.curl(t, home, "/v2/team-a/app/tags/list")
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d, want 200: %s", resp.StatusCode, body)
		}
		var list struct {
			Name string
			Tags []string
		}
		decode(t, body, &list)
		if list.Name != "team-a/app" || !slices.Equal(list.Tags, []string{"1.0"}) {
			t.Errorf("tags %+v, want 1.0 of team-a/app", list)
		}
	})

	// Harbor refuses an OCI manifest to Accept: */*, which is what curl sends.
	t.Run("manifest", func(t *testing.T) {
		resp, body := w.curl(t, home, "/v2/team-a/app/manifests/1.0")
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d, want 200: %s", resp.StatusCode, body)
		}
		checkDigest(t, "the manifest", body, digestOf(t, w.harbor.app))
		if got, want := resp.Header.Get("Docker-Content-Digest"), digestOf(t, w.harbor.app).String(); got != want {
			t.Errorf("Docker-Content-Digest %q, want %s", got, want)
		}
	})

	t.Run("referrers", func(t *testing.T) {
		resp, body := w.curl(t, home, "/v2/team-a/artifact/referrers/"+w.harbor.artifact.String())
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d, want 200: %s", resp.StatusCode, body)
		}
		var index struct {
			Manifests []struct{ Digest, ArtifactType string }
		}
		decode(t, body, &index)
		if len(index.Manifests) != 1 || index.Manifests[0].Digest != w.harbor.sbom.String() ||
			index.Manifests[0].ArtifactType != sbomType {
			t.Errorf("referrers %+v, want the SBOM alone", index.Manifests)
		}
	})

	// The robot has no right on team-b. Harbor says 401; to clients who could not
	// log in anyhow the repository is one that is not there.
	t.Run("forbidden", func(t *testing.T) {
		resp, body := w.curl(t, home, "/v2/team-b/secret/manifests/1.0")
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("status %d, want 404", resp.StatusCode)
		}
		var refused struct{ Errors []struct{ Code string } }
		decode(t, body, &refused)
		if len(refused.Errors) == 0 || refused.Errors[0].Code == "" {
			t.Errorf("the body is no registry error: %s", body)
		}
	})

	t.Run("push", func(t *testing.T) {
		resp, body := w.curl(t, home, "/v2/team-a/app/blobs/uploads/", "--request", "POST")
		if resp.StatusCode != http.StatusMethodNotAllowed || !strings.Contains(string(body), "UNSUPPORTED") {
			t.Errorf("status %d, want 405 and the code UNSUPPORTED: %s", resp.StatusCode, body)
		}
	})
}

// curl asks Breakwater and parses what curl prints.
func (w *world) curl(t *testing.T, home home, path string, options ...string) (*http.Response, []byte) {
	t.Helper()
	args := append([]string{"--silent", "--show-error", "--include", "--max-time", "20"}, options...)
	printed := home.run(t, installed(t, "curl"), append(args, "http://"+w.registry+path)...)
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(printed)), nil)
	if err != nil {
		t.Fatalf("parsing what curl printed: %v\n%s", err, printed)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("the body that curl printed: %v\n%s", err, printed)
	}
	return resp, body
}

func decode(t *testing.T, body []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
}
