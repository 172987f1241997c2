//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// buildkit builds on the image (FROM), for all platforms that it has, without running
// anything, and exports what it built with the layers that it is built on.
func (w *mirrorWorld) buildkit(t *testing.T) mirrorClient {
	t.Helper()
	wire, h := w.newWire(t), w.newHome(t)
	root := shortRoot(t)
	config, socket := filepath.Join(root, "buildkitd.toml"), "unix://"+filepath.Join(root, "sock")
	mustDo(t, os.WriteFile(config, []byte(w.clientConfig(t, wire, "buildkit")), 0o600))
	daemon := start(t, "buildkitd", h.command(tool(t, "buildkitd"), "--config", config, "--addr", socket, "--root", filepath.Join(root, "root"),
		"--oci-worker-binary", installed(t, "runc"), "--oci-worker-snapshotter", "native", "--oci-worker-net", "host", "--cdi-disabled"))
	daemon.status = 1 // to be asked to end is an error to it
	daemon.waitUntil(t, time.Minute, func() error {
		out, err := h.command(tool(t, "buildctl"), "--addr", socket, "debug", "workers").CombinedOutput()
		if err != nil {
			return fmt.Errorf("buildctl debug workers: %w: %s", err, out)
		}
		return nil
	})
	c := mirrorClient{name: "buildkit", wire: wire, all: true, fallsBack: true}
	c.pull = func(t *testing.T, image wanted) {
		file := filepath.Join(t.TempDir(), "built.tar")
		h.run(t, tool(t, "buildctl"), building(t, socket, image, file)...)
		checkBuilt(t, file, image)
		h.run(t, tool(t, "buildctl"), "--addr", socket, "prune", "--all")
	}
	c.miss = func(t *testing.T, image wanted) {
		h.fail(t, image.short(), "", tool(t, "buildctl"), building(t, socket, image, filepath.Join(t.TempDir(), "built.tar"))...)
	}
	return c
}

// building are the arguments of buildctl that build on an image, and write what was built
// to a file.
func building(t *testing.T, socket string, image wanted, file string) []string {
	t.Helper()
	dir := t.TempDir()
	mustDo(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM "+image.short()+"\nLABEL built=here\n"), 0o600))
	args := []string{"--addr", socket, "build", "--frontend", "dockerfile.v0", "--local", "context=" + dir, "--local", "dockerfile=" + dir,
		"--output", "type=oci,dest=" + file}
	if image.index != nil {
		args = append(args, "--opt", "platform=linux/"+strings.Join(platforms, ",linux/"))
	}
	return args
}

// checkBuilt looks for the layers of the image in what was built on it.
func checkBuilt(t *testing.T, file string, image wanted) {
	t.Helper()
	built := must(os.ReadFile(file))(t)
	blobs := make(map[string][]byte)
	for archive := tar.NewReader(bytes.NewReader(built)); ; {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		mustDo(t, err)
		blobs[filepath.Base(header.Name)] = must(io.ReadAll(archive))(t)
	}
	for _, img := range image.images(t) {
		for _, layer := range layersOf(t, img) {
			checkDigest(t, "a layer that was built on", blobs[layer.Hex], layer)
		}
	}
}
