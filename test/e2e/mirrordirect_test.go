//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// Clients that have no mirrors pull from Breakwater itself: the registry's name comes
// first in the repository's, but for docker.io, which is usual there.

func (w *mirrorWorld) crane(t *testing.T) mirrorClient {
	t.Helper()
	wire, h := w.newWire(t), w.newHome(t)
	return mirrorClient{name: "crane", wire: wire, all: true, pull: func(t *testing.T, image wanted) {
		for _, reference := range image.directly(wire) {
			if got := strings.TrimSpace(h.run(t, tool(t, "crane"), "digest", reference)); got != image.resolved.String() {
				t.Errorf("%s is %s, want %s", reference, got, image.resolved)
			}
			dir := t.TempDir()
			h.run(t, tool(t, "crane"), "pull", "--format", "oci", reference, dir)
			image.checkLayout(t, dir)
		}
	}}
}

func (w *mirrorWorld) regctl(t *testing.T) mirrorClient {
	t.Helper()
	wire, h := w.newWire(t), w.newHome(t)
	h.run(t, tool(t, "regctl"), "registry", "set", wire.address, "--tls", "disabled")
	return mirrorClient{name: "regctl", wire: wire, all: true, pull: func(t *testing.T, image wanted) {
		for _, reference := range image.directly(wire) {
			if got := strings.TrimSpace(h.run(t, tool(t, "regctl"), "image", "digest", reference)); got != image.resolved.String() {
				t.Errorf("%s is %s, want %s", reference, got, image.resolved)
			}
			dir := t.TempDir()
			h.run(t, tool(t, "regctl"), "image", "copy", reference, "ocidir://"+dir+":pulled")
			image.checkLayout(t, dir)
		}
	}}
}

func (w *mirrorWorld) oras(t *testing.T) mirrorClient {
	t.Helper()
	wire, h := w.newWire(t), w.newHome(t)
	return mirrorClient{name: "oras", wire: wire, all: true, pull: func(t *testing.T, image wanted) {
		for _, reference := range image.directly(wire) {
			if got := strings.TrimSpace(h.run(t, tool(t, "oras"), "resolve", "--plain-http", reference)); got != image.resolved.String() {
				t.Errorf("%s is %s, want %s", reference, got, image.resolved)
			}
			dir := t.TempDir()
			h.run(t, tool(t, "oras"), "copy", "--from-plain-http", reference, "--to-oci-layout", dir+":pulled")
			image.checkLayout(t, dir)
		}
	}}
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
