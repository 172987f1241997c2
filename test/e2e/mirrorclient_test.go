//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// A mirrorClient pulls images by their ordinary names, as `breakwater client-config` told
// it to, or from Breakwater itself where it has no mirrors.
type mirrorClient struct {
	name string
	wire *tap // all that it says to Breakwater
	// pull pulls an image into storage that holds nothing of it, compares digests, and
	// forgets the image.
	pull func(t *testing.T, image wanted)
	all  bool // platforms of an index, not only this machine's
	// miss makes sure that an image that is not there cannot be pulled.
	miss      func(t *testing.T, image wanted)
	fallsBack bool // to the registry itself, from which nothing keeps it
}

// check pulls an image, and makes sure that all of it came by Breakwater.
func (c mirrorClient) check(t *testing.T, image wanted) {
	t.Helper()
	before := c.wire.requests()
	c.pull(t, image)
	heard := c.wire.requests()
	for _, hash := range image.content(t, c.all) {
		if strings.Count(heard, "/"+hash.String()) == strings.Count(before, "/"+hash.String()) {
			t.Errorf("%s: Breakwater was not asked for %s", image.name, hash)
		}
	}
}

// clients starts all of them.
func (w *mirrorWorld) clients(t *testing.T) []mirrorClient {
	t.Helper()
	return []mirrorClient{
		w.docker(t), w.containerd(t, debians(t)), w.containerd(t, current(t)), w.buildkit(t),
		w.podman(t), w.buildah(t), w.skopeo(t), w.crane(t), w.regctl(t), w.oras(t),
	}
}
