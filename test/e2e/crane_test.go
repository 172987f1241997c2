//go:build e2e

package e2e

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestCrane(t *testing.T) {
	w := newWorld(t)
	home := newHome(t)
	crane := func(t *testing.T, args ...string) string {
		t.Helper()
		return home.run(t, tool(t, "crane"), args...)
	}
	app, multi, artifact := w.registry+"/team-a/app", w.registry+"/team-a/multi", w.registry+"/team-a/artifact"

	t.Run("catalog", func(t *testing.T) {
		got := strings.Fields(crane(t, "catalog", w.registry))
		for _, repository := range []string{"library/base", "team-a/app", "team-a/multi", "team-a/artifact"} {
			if !slices.Contains(got, repository) {
				t.Errorf("the catalog %v lacks %s", got, repository)
			}
		}
	})

	t.Run("ls", func(t *testing.T) {
		if got := strings.Fields(crane(t, "ls", app)); !slices.Equal(got, []string{"1.0"}) {
			t.Errorf("tags %v, want 1.0", got)
		}
	})

	t.Run("digest", func(t *testing.T) {
		for reference, want := range map[string]v1.Hash{
			app + ":1.0":                     digestOf(t, w.harbor.app),
			multi + ":1.0":                   digestOf(t, w.harbor.multi),
			artifact + ":1.0":                w.harbor.artifact,
			w.registry + "/library/base:1.0": digestOf(t, w.harbor.base),
		} {
			if got := strings.TrimSpace(crane(t, "digest", reference)); got != want.String() {
				t.Errorf("%s is %s, want %s", reference, got, want)
			}
		}
	})

	t.Run("digest of a platform", func(t *testing.T) {
		want := digestOf(t, child(t, w.harbor.multi, "arm64")).String()
		if got := strings.TrimSpace(crane(t, "digest", "--platform", "linux/arm64", multi+":1.0")); got != want {
			t.Errorf("linux/arm64 is %s, want %s", got, want)
		}
	})

	t.Run("manifest", func(t *testing.T) {
		for reference, want := range map[string]v1.Hash{
			app + ":1.0":                            digestOf(t, w.harbor.app),
			multi + ":1.0":                          digestOf(t, w.harbor.multi),
			artifact + ":1.0":                       w.harbor.artifact,
			artifact + "@" + w.harbor.sbom.String(): w.harbor.sbom,
		} {
			checkDigest(t, reference, []byte(crane(t, "manifest", reference)), want)
		}
	})

	t.Run("pull", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "app.tar")
		crane(t, "pull", app+":1.0", path)
		img, err := tarball.ImageFromPath(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := configOf(t, img), configOf(t, w.harbor.app); got != want {
			t.Errorf("config %s, want %s", got, want)
		}
		crane(t, "validate", "--tarball", path)
	})

	t.Run("pull all platforms", func(t *testing.T) {
		dir := t.TempDir()
		crane(t, "pull", "--format", "oci", multi+":1.0", dir)
		checkLayout(t, dir, w.harbor.multi)
	})

	t.Run("blob of an artifact", func(t *testing.T) {
		digest, _, err := v1.SHA256(strings.NewReader(artifactPayload))
		if err != nil {
			t.Fatal(err)
		}
		if got := crane(t, "blob", artifact+"@"+digest.String()); got != artifactPayload {
			t.Errorf("blob %q, want %q", got, artifactPayload)
		}
	})

	t.Run("export", func(t *testing.T) {
		want, err := io.ReadAll(mutate.Extract(w.harbor.app))
		if err != nil {
			t.Fatal(err)
		}
		if got := crane(t, "export", app+":1.0", "-"); got != string(want) {
			t.Errorf("the exported file system (%d bytes) is not the image's (%d bytes)", len(got), len(want))
		}
	})

	checkLogged(t, w)
}

// checkLayout compares an OCI layout with the index that was pushed.
func checkLayout(t *testing.T, dir string, index v1.ImageIndex) {
	t.Helper()
	blobs := []v1.Hash{digestOf(t, index)}
	for _, architecture := range []string{"amd64", "arm64"} {
		img := child(t, index, architecture)
		blobs = append(append(blobs, digestOf(t, img), configOf(t, img)), layersOf(t, img)...)
	}
	for _, blob := range blobs {
		checkFile(t, filepath.Join(dir, "blobs", blob.Algorithm, blob.Hex), blob)
	}
}

// checkLogged makes sure that pulls left their one line each.
func checkLogged(t *testing.T, w *world) {
	t.Helper()
	if err := w.breakwater.stop(); err != nil { // the log is buffered
		t.Error(err)
	}
	for _, line := range w.breakwater.logLines(t) {
		if line["repository"] == "team-a/app" && line["reference"] == "1.0" && line["status"] == 200.0 {
			return
		}
	}
	t.Error("no line of the log tells of team-a/app:1.0, status 200")
}
