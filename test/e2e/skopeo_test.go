//go:build e2e

package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// skopeo stands for the library that podman, buildah and CRI-O share: it asks
// GET /v2/ first, and for the manifest by tag with a GET.
func TestSkopeo(t *testing.T) {
	w := newWorld(t)
	home := newHome(t)
	skopeo := func(t *testing.T, command string, args ...string) string {
		t.Helper()
		tls := "--tls-verify=false"
		if command == "copy" {
			tls = "--src-tls-verify=false"
		}
		return home.run(t, installed(t, "skopeo"), append([]string{"--insecure-policy", command, tls}, args...)...)
	}
	app := "docker://" + w.registry + "/team-a/app:1.0"
	multi := "docker://" + w.registry + "/team-a/multi:1.0"

	t.Run("copy", func(t *testing.T) {
		dir := t.TempDir()
		skopeo(t, "copy", app, "dir:"+dir)
		checkFile(t, filepath.Join(dir, "manifest.json"), digestOf(t, w.harbor.app))
		checkBlobs(t, dir, w.harbor.app)
	})

	// The index itself is compared by "inspect raw": Debian's skopeo writes it
	// anew when it copies all platforms.
	t.Run("copy of all platforms", func(t *testing.T) {
		dir := t.TempDir()
		skopeo(t, "copy", "--all", multi, "dir:"+dir)
		for _, architecture := range []string{"amd64", "arm64"} {
			img := child(t, w.harbor.multi, architecture)
			checkFile(t, filepath.Join(dir, digestOf(t, img).Hex+".manifest.json"), digestOf(t, img))
			checkBlobs(t, dir, img)
		}
	})

	t.Run("copy of an artifact", func(t *testing.T) {
		dir := t.TempDir()
		skopeo(t, "copy", "docker://"+w.registry+"/team-a/artifact:1.0", "dir:"+dir)
		checkFile(t, filepath.Join(dir, "manifest.json"), w.harbor.artifact)
		payload, _, err := v1.SHA256(strings.NewReader(artifactPayload))
		if err != nil {
			t.Fatal(err)
		}
		checkFile(t, filepath.Join(dir, payload.Hex), payload)
	})

	t.Run("copy of what refers to it", func(t *testing.T) {
		dir := t.TempDir()
		skopeo(t, "copy", "docker://"+w.registry+"/team-a/artifact@"+w.harbor.sbom.String(), "dir:"+dir)
		checkFile(t, filepath.Join(dir, "manifest.json"), w.harbor.sbom)
	})

	t.Run("inspect", func(t *testing.T) {
		var image struct {
			Digest string
			Layers []string
		}
		decode(t, []byte(skopeo(t, "inspect", app)), &image)
		if want := digestOf(t, w.harbor.app).String(); image.Digest != want {
			t.Errorf("digest %s, want %s", image.Digest, want)
		}
		var want []string
		for _, layer := range layersOf(t, w.harbor.app) {
			want = append(want, layer.String())
		}
		if !slices.Equal(image.Layers, want) {
			t.Errorf("layers %v, want %v", image.Layers, want)
		}
	})

	t.Run("inspect raw", func(t *testing.T) {
		checkDigest(t, "the manifest", []byte(skopeo(t, "inspect", "--raw", multi)), digestOf(t, w.harbor.multi))
	})

	t.Run("list-tags", func(t *testing.T) {
		var list struct{ Tags []string }
		decode(t, []byte(skopeo(t, "list-tags", "docker://"+w.registry+"/team-a/app")), &list)
		if !slices.Equal(list.Tags, []string{"1.0"}) {
			t.Errorf("tags %v, want 1.0", list.Tags)
		}
	})
}

// checkBlobs compares a folder that skopeo made with the image that was pushed:
// a file for the config and for each layer, named by its digest.
func checkBlobs(t *testing.T, dir string, img v1.Image) {
	t.Helper()
	for _, blob := range append(layersOf(t, img), configOf(t, img)) {
		checkFile(t, filepath.Join(dir, blob.Hex), blob)
	}
}
