//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// A direct has no mirrors, and pulls from Breakwater itself: the registry's name
// comes first in the repository's, but for docker.io, which is usual there.
type direct struct {
	name    string
	resolve func(reference string) []string      // arguments that print the digest
	copy    func(reference, dir string) []string // and that make an OCI layout
}

func (w *mirrorWorld) crane(t *testing.T) mirrorClient {
	t.Helper()
	return w.direct(t, direct{
		name:    "crane",
		resolve: func(reference string) []string { return []string{"digest", reference} },
		copy:    func(reference, dir string) []string { return []string{"pull", "--format", "oci", reference, dir} },
	})
}

func (w *mirrorWorld) regctl(t *testing.T) mirrorClient {
	t.Helper()
	return w.direct(t, direct{
		name:    "regctl",
		resolve: func(reference string) []string { return []string{"image", "digest", reference} },
		copy: func(reference, dir string) []string {
			return []string{"image", "copy", reference, "ocidir://" + dir + ":pulled"}
		},
	}, "registry", "set", "--tls", "disabled")
}

func (w *mirrorWorld) oras(t *testing.T) mirrorClient {
	t.Helper()
	return w.direct(t, direct{
		name:    "oras",
		resolve: func(reference string) []string { return []string{"resolve", "--plain-http", reference} },
		copy: func(reference, dir string) []string {
			return []string{"copy", "--from-plain-http", reference, "--to-oci-layout", dir + ":pulled"}
		},
	})
}

// direct is such a client; first are the arguments, before Breakwater's address, of what it
// is told once.
func (w *mirrorWorld) direct(t *testing.T, d direct, first ...string) mirrorClient {
	t.Helper()
	wire, h, program := w.newWire(t), w.newHome(t), tool(t, d.name)
	if first != nil {
		h.run(t, program, append(first, wire.address)...)
	}
	return mirrorClient{
		name: d.name, wire: wire, all: true,
		pull: func(t *testing.T, image wanted) {
			for _, reference := range image.directly(wire) {
				if got := strings.TrimSpace(h.run(t, program, d.resolve(reference)...)); got != image.resolved.String() {
					t.Errorf("%s is %s, want %s", reference, got, image.resolved)
				}
				dir := t.TempDir()
				h.run(t, program, d.copy(reference, dir)...)
				image.checkLayout(t, dir)
			}
		},
		miss: func(t *testing.T, image wanted) {
			for _, reference := range image.directly(wire) {
				h.fail(t, "missing", "", program, d.resolve(reference)...)
			}
		},
	}
}

// directly are the references that lead to an image of Breakwater's own.
func (i wanted) directly(wire *tap) []string {
	references := []string{wire.address + "/" + i.name}
	if usual, ok := strings.CutPrefix(i.name, "docker.io"); ok {
		references = append(references, wire.address+usual)
	}
	return references
}

// checkLayout compares an OCI layout with what was pushed.
func (i wanted) checkLayout(t *testing.T, dir string) {
	t.Helper()
	for _, hash := range append(i.content(t, true), i.resolved) {
		checkFile(t, filepath.Join(dir, "blobs", hash.Algorithm, hash.Hex), hash)
	}
}
