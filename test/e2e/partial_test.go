//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// podman pulls of a layer in zstd:chunked form only the files that it has not: one range
// for their table, and one request with a range for each of the rest, which is answered in
// parts. To Harbor the cold layer is one transfer.
func TestPartialPull(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	p := w.newPartial(t)
	const size = 60_000 // with some other sizes, such as 50000, podman 4.3 cannot write zstd:chunked ("short write")
	files := make(map[string][]byte)
	for i := range 60 {
		files[fmt.Sprint("file-", i)] = randomBytes(uint64(i), size)
	}
	first := p.push(t, "platform/chunked", "1.0", files)
	for i := range 5 { // of 60
		files[fmt.Sprint("file-", i*7)] = randomBytes(uint64(100+i), size)
	}
	second := p.push(t, "platform/chunked", "2.0", files)

	p.pull(t, "harbor.example.com/platform/chunked:1.0")
	cold := p.rangesOf(first)
	if len(cold) != 2 || strings.Contains(cold[0], ",") || strings.Count(cold[1], ",") < 20 {
		t.Errorf("podman asked for these ranges: %q, want one, and then many at once", cold)
	}
	if n := w.transfers(first); n != 1 {
		t.Errorf("Harbor was asked %d times for the layer, want once", n)
	}

	p.pull(t, "harbor.example.com/platform/chunked:2.0")
	rest := p.rangesOf(second)
	if len(rest) != 2 || strings.Count(rest[1], ",") > 10 {
		t.Errorf("podman asked for these ranges: %q, want no more than what is new", rest)
	}
	mounted := strings.TrimSpace(p.podman(t, "image", "mount", "harbor.example.com/platform/chunked:2.0"))
	defer p.podman(t, "image", "unmount", "--all")
	for name, content := range files {
		if got := must(os.ReadFile(filepath.Join(mounted, name)))(t); !bytes.Equal(got, content) {
			t.Errorf("%s is not what was pushed", name)
		}
	}
	if answers := p.wire.answers(); !strings.Contains(answers, "Content-Type: multipart/byteranges; boundary=") {
		t.Error("no answer has several parts")
	}
}

// A partial is podman with storage that takes layers in part, which only the overlay
// driver does.
type partial struct {
	*mirrorWorld
	wire *tap
	home home
}

func (w *mirrorWorld) newPartial(t *testing.T) *partial {
	t.Helper()
	p := &partial{mirrorWorld: w, wire: w.newWire(t), home: w.newHome(t)}
	root := shortRoot(t)
	conf := filepath.Join(root, "storage.conf")
	mustDo(t, os.WriteFile(conf, fmt.Appendf(nil, `[storage]
driver = "overlay"
graphroot = %q
runroot = %q
[storage.options]
pull_options = {enable_partial_images = "true"}
[storage.options.overlay]
skip_mount_home = "true"
`, filepath.Join(root, "root"), filepath.Join(root, "run")), 0o600))
	p.home.env = append(p.home.env, "CONTAINERS_STORAGE_CONF="+conf, "CONTAINERS_REGISTRIES_CONF="+w.registriesConf(t, p.wire))
	return p
}

func (p *partial) podman(t *testing.T, args ...string) string {
	t.Helper()
	return p.home.run(t, installed(t, "podman"), args...)
}

func (p *partial) pull(t *testing.T, name string) {
	t.Helper()
	p.podman(t, "pull", name)
}

// push makes an image of one layer with these files, in zstd:chunked form, pushes it and
// returns the layer's digest. Nothing of it is left with podman.
func (p *partial) push(t *testing.T, repository, tag string, files map[string][]byte) (layer v1.Hash) {
	t.Helper()
	dir, layout := t.TempDir(), t.TempDir()
	for name, content := range files {
		mustDo(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	}
	archive := filepath.Join(t.TempDir(), "files.tar")
	p.home.run(t, "tar", "--create", "--file", archive, "--directory", dir, ".")
	p.podman(t, "import", "--quiet", archive, "localhost/made:1.0")
	p.podman(t, "push", "--quiet", "--format", "oci", "--compression-format", "zstd:chunked", "localhost/made:1.0", "oci:"+layout)
	p.podman(t, "rmi", "--force", "localhost/made:1.0")

	registry := must(p.harbor.Content(repository))(t)
	blob := func(digest v1.Hash) []byte {
		return must(os.ReadFile(filepath.Join(layout, "blobs", digest.Algorithm, digest.Hex)))(t)
	}
	var index v1.IndexManifest
	decode(t, must(os.ReadFile(filepath.Join(layout, "index.json")))(t), &index)
	body := blob(index.Manifests[0].Digest)
	var manifest v1.Manifest
	mustDo(t, json.Unmarshal(body, &manifest))
	layer = manifest.Layers[0].Digest
	for _, digest := range []v1.Hash{manifest.Config.Digest, layer} {
		must(registry.PushBlob(repository, blob(digest)))(t)
	}
	must(registry.PushManifest(repository, tag, string(index.Manifests[0].MediaType), body))(t)
	return layer
}

// rangesOf are those of a blob that podman asked for; "" is all of it.
func (p *partial) rangesOf(blob v1.Hash) (ranges []string) {
	for _, found := range regexp.MustCompile(`(?m)^GET \S+/blobs/`+blob.String()+` HTTP/1\.1\r\n((?:\S+: .*\r\n)*)`).FindAllStringSubmatch(p.wire.requests(), -1) {
		ranges = append(ranges, strings.TrimSuffix(strings.TrimPrefix(headerLine(strings.ReplaceAll(found[1], "\r", ""), "Range"), "Range: bytes="), "\r"))
	}
	return ranges
}

func randomBytes(seed uint64, size int) []byte {
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(content) // it never fails
	return content
}
