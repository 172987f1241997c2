//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// containerd finds hosts.toml files for docker.io and harbor.example.com. That of quay.io
// is taken away, so that its images come by what is said of every registry: _default.
func (w *mirrorWorld) containerd(t *testing.T, release containerdRelease) mirrorClient {
	t.Helper()
	wire, certsD := w.newWire(t), t.TempDir()
	w.clientConfig(t, wire, "containerd", "--no-fallback", "--every-registry", "--write", certsD)
	mustDo(t, os.RemoveAll(filepath.Join(certsD, "quay.io")))
	for _, folder := range []string{"docker.io", "harbor.example.com", "_default"} {
		if !exists(filepath.Join(certsD, folder, "hosts.toml")) {
			t.Errorf("client-config wrote no hosts.toml for %s", folder)
		}
	}
	c := startContainerd(t, w.newHome(t), release)
	return mirrorClient{
		name: release.name, wire: wire,
		pull: func(t *testing.T, image wanted) {
			c.pull(t, certsD, image.name, image.resolved, image.content(t, false)...)
		},
		miss: func(t *testing.T, image wanted) { c.checkMissing(t, certsD, image.name, "not found") },
	}
}
