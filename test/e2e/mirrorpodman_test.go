//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// registriesConf writes what podman and those that share its library are told, and adds
// what makes docker.io usual, which is not for a mirror to say.
func (w *mirrorWorld) registriesConf(t *testing.T, wire *tap) (file string) {
	t.Helper()
	text := "unqualified-search-registries = [\"docker.io\"]\n" + w.clientConfig(t, wire, "podman", "--no-fallback")
	file = filepath.Join(t.TempDir(), "registries.conf")
	mustDo(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// storing are the options of podman and buildah that keep all they store below folders of
// the test's own.
func storing(t *testing.T) []string {
	t.Helper()
	root := shortRoot(t)
	return []string{"--root", filepath.Join(root, "root"), "--runroot", filepath.Join(root, "run"), "--storage-driver", "vfs"}
}

func (w *mirrorWorld) podman(t *testing.T) mirrorClient {
	t.Helper()
	wire, h := w.newWire(t), w.newHome(t)
	h.env = append(h.env, "CONTAINERS_REGISTRIES_CONF="+w.registriesConf(t, wire))
	kept := storing(t)
	podman := func(t *testing.T, args ...string) string {
		t.Helper()
		return h.run(t, installed(t, "podman"), append(kept, args...)...)
	}
	c := mirrorClient{name: "podman", wire: wire}
	c.pull = func(t *testing.T, image wanted) {
		podman(t, "pull", image.short())
		var images []struct {
			Id          string
			RepoDigests []string
		}
		decode(t, []byte(podman(t, "image", "inspect", image.short())), &images)
		if len(images) != 1 || images[0].Id != configOf(t, image.image).Hex || !resolvedTo(images[0].RepoDigests, image) {
			t.Errorf("podman holds %+v, want %s with the config %s", images, image.resolved, configOf(t, image.image).Hex)
		}
		podman(t, "rmi", "--force", image.short())
	}
	c.miss = func(t *testing.T, image wanted) {
		h.fail(t, image.short(), "", installed(t, "podman"), append(kept, "pull", image.short())...)
	}
	return c
}

func (w *mirrorWorld) buildah(t *testing.T) mirrorClient {
	t.Helper()
	wire, h := w.newWire(t), w.newHome(t)
	h.env = append(h.env, "CONTAINERS_REGISTRIES_CONF="+w.registriesConf(t, wire))
	kept := storing(t)
	buildah := func(t *testing.T, args ...string) string {
		t.Helper()
		return h.run(t, installed(t, "buildah"), append(kept, args...)...)
	}
	c := mirrorClient{name: "buildah", wire: wire}
	c.pull = func(t *testing.T, image wanted) {
		buildah(t, "pull", image.short())
		var images []struct{ ID, Digest string }
		decode(t, []byte(buildah(t, "images", "--json", "--no-trunc", image.short())), &images)
		if len(images) != 1 || images[0].ID != configOf(t, image.image).String() || images[0].Digest != image.resolved.String() {
			t.Errorf("buildah holds %+v, want %s with the config %s", images, image.resolved, configOf(t, image.image).Hex)
		}
		buildah(t, "rmi", "--force", image.short())
	}
	c.miss = func(t *testing.T, image wanted) {
		h.fail(t, image.short(), "", installed(t, "buildah"), append(kept, "pull", image.short())...)
	}
	return c
}

// skopeo copies all platforms; Debian's writes an index anew when it does, so that is
// compared by what inspect shows.
func (w *mirrorWorld) skopeo(t *testing.T) mirrorClient {
	t.Helper()
	wire, h := w.newWire(t), w.newHome(t)
	conf := w.registriesConf(t, wire) // its 1.9 passes over CONTAINERS_REGISTRIES_CONF
	told := []string{"--registries-conf", conf, "--insecure-policy"}
	skopeo := func(t *testing.T, args ...string) string {
		t.Helper()
		return h.run(t, installed(t, "skopeo"), append(told, args...)...)
	}
	c := mirrorClient{name: "skopeo", wire: wire, all: true}
	c.pull = func(t *testing.T, image wanted) {
		dir, source := t.TempDir(), "docker://"+image.short()
		skopeo(t, "copy", "--all", source, "dir:"+dir)
		checkDigest(t, image.name, []byte(skopeo(t, "inspect", "--raw", source)), image.resolved)
		for _, hash := range image.content(t, true) {
			file := filepath.Join(dir, hash.Hex)
			if manifest := file + ".manifest.json"; exists(manifest) {
				file = manifest
			}
			checkFile(t, file, hash)
		}
	}
	c.miss = func(t *testing.T, image wanted) {
		h.fail(t, "missing", "", installed(t, "skopeo"), append(told, "inspect", "docker://"+image.short())...)
	}
	return c
}

// resolvedTo tells whether one of the names, which end in digests, says what the image's
// tag names.
func resolvedTo(names []string, image wanted) bool {
	return slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, "@"+image.resolved.String()) })
}
