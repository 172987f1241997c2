//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A real Docker daemon pulls a docker.io name through its mirror setting, and
// names of Breakwater itself. It has no login and no network beside.
func TestDocker(t *testing.T) {
	w := newWorld(t)
	docker := startDocker(t, w.registry)

	t.Run("docker.io name through the mirror", func(t *testing.T) {
		docker.pull(t, "base:1.0")
		docker.checkImage(t, "base:1.0", digestOf(t, w.harbor.base), w.harbor.base)
		if !strings.Contains(w.tap.requests(), "/v2/library/base/manifests/") {
			t.Error("the daemon did not ask the mirror for library/base")
		}
	})

	t.Run("image", func(t *testing.T) {
		docker.pull(t, w.registry+"/team-a/app:1.0")
		docker.checkImage(t, w.registry+"/team-a/app:1.0", digestOf(t, w.harbor.app), w.harbor.app)
	})

	t.Run("image by digest", func(t *testing.T) {
		reference := w.registry + "/team-a/app@" + digestOf(t, w.harbor.app).String()
		docker.pull(t, reference)
		docker.checkImage(t, reference, digestOf(t, w.harbor.app), w.harbor.app)
	})

	t.Run("multi-arch image", func(t *testing.T) {
		docker.pull(t, w.registry+"/team-a/multi:1.0")
		docker.checkImage(t, w.registry+"/team-a/multi:1.0",
			digestOf(t, w.harbor.multi), child(t, w.harbor.multi, runtime.GOARCH))
	})
}

// A docker is a daemon of the test's own with the client that belongs to it.
type docker struct {
	*process
	home   home
	socket string
}

// startDocker starts a daemon that pulls through a mirror.
func startDocker(t *testing.T, mirror string) *docker {
	t.Helper()
	return startDaemon(t, newHome(t), "", map[string]any{
		"registry-mirrors":    []string{"http://" + mirror},
		"insecure-registries": []string{mirror},
	})
}

// startDaemon starts a daemon that touches nothing of the machine: no bridge,
// no firewall rules, all its state below one folder, plain copies of files
// instead of mounts (the vfs driver). It starts a containerd of its own. What it finds
// in /etc/docker is the folder etc, if one is given.
func startDaemon(t *testing.T, h home, etc string, more map[string]any) *docker {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("a Docker daemon needs root: please run `make e2e` as root")
	}
	root := shortRoot(t)
	path := func(name string) string { return filepath.Join(root, name) }
	settings := map[string]any{
		"storage-driver": "vfs",
		"iptables":       false,
		"bridge":         "none",
		"data-root":      path("data"),
		"exec-root":      path("exec"),
		"pidfile":        path("pid"),
		"hosts":          []string{"unix://" + path("sock")},
	}
	maps.Copy(settings, more)
	mustDo(t, os.WriteFile(path("daemon.json"), must(json.Marshal(settings))(t), 0o600))
	command := []string{installed(t, "dockerd"), "--config-file", path("daemon.json")}
	if etc != "" {
		command = append(inPlaceOf(t, "/etc/docker", etc), command...)
	}
	d := &docker{home: h, socket: "unix://" + path("sock")}
	d.process = start(t, "dockerd", d.home.command(command[0], command[1:]...))
	d.waitUntil(t, time.Minute, func() error {
		out, err := d.home.command(installed(t, "docker"), "--host", d.socket, "version").CombinedOutput()
		if err != nil {
			return fmt.Errorf("docker version: %w: %s", err, out)
		}
		return nil
	})
	return d
}

// inPlaceOf is the beginning of a command that finds another folder at a path: in a
// mount namespace of its own, so that nobody else does.
func inPlaceOf(t *testing.T, path, folder string) []string {
	t.Helper()
	mustDo(t, os.MkdirAll(path, 0o755)) // as the daemon would
	return []string{installed(t, "unshare"), "--mount", "--propagation", "private",
		"sh", "-c", `mount --bind "$1" "$2" && shift 2 && exec "$@"`, "sh", folder, path}
}

// shortRoot makes a folder for a daemon. Its path is short, because a socket's may
// have 107 bytes only, and podman's 50; nothing may be mounted below it in the end.
func shortRoot(t *testing.T) string {
	t.Helper()
	root, err := os.MkdirTemp("", "e2e")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, point := range mountsBelow(t, root) {
			t.Errorf("a mount was left: %s", point)
			if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil {
				t.Errorf("unmounting %s: %v", point, err)
			}
		}
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	return root
}

// mountsBelow reads the mount table, the last mount first.
func mountsBelow(t *testing.T, root string) []string {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], root+"/") {
			points = append(points, fields[1])
		}
	}
	slices.Reverse(points)
	return points
}

func (d *docker) run(t *testing.T, args ...string) string {
	t.Helper()
	return d.home.run(t, installed(t, "docker"), append([]string{"--host", d.socket}, args...)...)
}

func (d *docker) pull(t *testing.T, reference string) {
	t.Helper()
	d.run(t, "pull", reference)
}

// checkImage compares what the daemon holds with what was pushed: the digest by
// which the name was resolved, the config's digest, and the layers as unpacked.
func (d *docker) checkImage(t *testing.T, reference string, resolved v1.Hash, pushed v1.Image) {
	t.Helper()
	var images []struct {
		ID          string `json:"Id"`
		RepoDigests []string
		RootFS      struct{ Layers []string }
	}
	decode(t, []byte(d.run(t, "image", "inspect", reference)), &images)
	if len(images) != 1 {
		t.Fatalf("the daemon holds %d images for %s, want 1", len(images), reference)
	}
	image := images[0]
	if want := configOf(t, pushed).String(); image.ID != want {
		t.Errorf("config %s, want %s", image.ID, want)
	}
	if !slices.ContainsFunc(image.RepoDigests, func(name string) bool { return strings.HasSuffix(name, "@"+resolved.String()) }) {
		t.Errorf("%s was resolved to %v, want %s", reference, image.RepoDigests, resolved)
	}
	config, err := pushed.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, layer := range config.RootFS.DiffIDs {
		want = append(want, layer.String())
	}
	if !slices.Equal(image.RootFS.Layers, want) {
		t.Errorf("layers %v, want %v", image.RootFS.Layers, want)
	}
}
