//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A containerd is a daemon of the test's own, with ctr as its client.
type containerd struct {
	*process
	home    home
	release containerdRelease
	socket  string
}

// A containerdRelease is one that clients have.
type containerdRelease struct {
	name        string
	daemon, ctr string // programs
	settings    string // TOML, after those that all have
}

// debians is what Debian has, 1.6 or a later 1.x.
func debians(t *testing.T) containerdRelease {
	t.Helper()
	return containerdRelease{name: "containerd-1", daemon: installed(t, "containerd"), ctr: installed(t, "ctr")}
}

// current is 2.x, which pulls in the daemon itself (its transfer service), and unpacks
// there as it is told to.
func current(t *testing.T) containerdRelease {
	t.Helper()
	return containerdRelease{name: "containerd-2", daemon: tool(t, "containerd"), ctr: tool(t, "ctr"), settings: fmt.Sprintf(`
[plugins."io.containerd.transfer.v1.local"]
  unpack_config = [{platform = "linux/%s", snapshotter = "native", differ = "walking"}]
`, runtime.GOARCH)}
}

// startContainerd starts a daemon with all its state below one folder, without the
// parts that would need a network or another file system.
func startContainerd(t *testing.T, h home, release containerdRelease) *containerd {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("containerd needs root: please run `make e2e` as root")
	}
	root := shortRoot(t)
	path := func(name string) string { return filepath.Join(root, name) }
	settings := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = %q
[debug]
  level = "warn"
[ttrpc]
  address = %q
`, path("root"), path("state"), path("sock"), path("ttrpc")) + release.settings
	mustDo(t, os.WriteFile(path("config.toml"), []byte(settings), 0o600))
	c := &containerd{home: h, release: release, socket: path("sock")}
	c.process = start(t, release.name, h.command(release.daemon, "--config", path("config.toml")))
	c.waitUntil(t, time.Minute, func() error {
		out, err := h.command(release.ctr, c.ctr("version")...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ctr version: %w: %s", err, out)
		}
		return nil
	})
	return c
}

func (c *containerd) ctr(args ...string) []string {
	return append([]string{"--address", c.socket}, args...)
}

func (c *containerd) run(t *testing.T, args ...string) string {
	t.Helper()
	return c.home.run(t, c.release.ctr, c.ctr(args...)...)
}

// pull pulls and unpacks an image, looks for this content of it, and forgets it all.
func (c *containerd) pull(t *testing.T, hosts, reference string, resolved v1.Hash, content ...v1.Hash) {
	t.Helper()
	c.run(t, "images", "pull", "--snapshotter", "native", "--hosts-dir", hosts, reference)
	if listed := c.run(t, "images", "ls", "name=="+reference); !strings.Contains(listed, resolved.String()) {
		t.Errorf("%s was resolved to another digest than %s:\n%s", reference, resolved, listed)
	}
	for _, hash := range append(content, resolved) {
		checkDigest(t, hash.String(), []byte(c.run(t, "content", "get", hash.String())), hash)
	}
	c.run(t, "images", "rm", "--sync", reference)
}

// The registry that images are named by, which is a route, and which nobody reaches: they
// come from the host of hosts.toml, or not at all.
const namedRegistry = "harbor.example.com"

// hosts writes hosts.toml for that registry, and returns the folder that it is in.
func hosts(t *testing.T, host string, lines ...string) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("server = \"https://127.0.0.1:1\"\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n  %s\n", host, strings.Join(lines, "\n  "))
	mustDo(t, os.Mkdir(filepath.Join(dir, namedRegistry), 0o755))
	mustDo(t, os.WriteFile(filepath.Join(dir, namedRegistry, "hosts.toml"), []byte(text), 0o600))
	return dir
}

// header is the part of hosts.toml that makes containerd say who it is.
func header(host, authorization string) string {
	return fmt.Sprintf("[host.%q.header]\n    Authorization = %q", host, authorization)
}

// checkPull pulls an image of the registry and looks for all of it.
func (c *containerd) checkPull(t *testing.T, hosts, repository string, pushed v1.Image) {
	t.Helper()
	c.pull(t, hosts, namedRegistry+"/"+repository+":1.0", digestOf(t, pushed), contentOf(t, pushed)...)
}

// checkRefused makes sure that it cannot be pulled, for that reason.
func (c *containerd) checkRefused(t *testing.T, hosts, repository, says string) {
	t.Helper()
	c.checkMissing(t, hosts, namedRegistry+"/"+repository+":1.0", says)
}

func (c *containerd) checkMissing(t *testing.T, hosts, reference, says string) {
	t.Helper()
	c.home.fail(t, says, "", c.release.ctr, c.ctr("content", "fetch", "--hosts-dir", hosts, reference)...)
}
