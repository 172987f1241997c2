//go:build e2e

package e2e

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"breakwater/internal/harbortest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// containerd 2.x may fetch parts of one layer at once: it asks for much of it again and
// again, from each part's beginning to the end, reads its part and leaves. To Harbor that
// is one transfer, whether Harbor itself could have answered a range or, as a proxy cache
// does, not. Warm it is none.
func TestPartsOfALayerAtOnce(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	const size, part = 8 << 20, 256 << 10
	release := current(t)
	release.settings += "  max_concurrent_downloads = 6\n  concurrent_layer_fetch_buffer = 262144\n"
	c := w.containerd(t, release)
	w.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, Rate: 8 << 20}) // so that parts are asked for before they came
	for name, registry := range map[string]*harbortest.Registry{
		"docker.io/library/large":           w.behind(t, hubProject),
		"harbor.example.com/platform/large": must(w.harbor.Content(ownProject))(t),
	} {
		_, repository, _ := strings.Cut(name, "/")
		img := must(harbortest.Image(name, size))(t)
		must(registry.Push(repository, "1.0", img))(t)
		layer := layersOf(t, img)[0]
		for _, transfers := range []int{1, 0} { // cold, warm
			before, parts := w.transfers(layer), len(c.partsOf(layer))
			c.check(t, wanted{name + ":1.0", nil, img, digestOf(t, img)})
			if n := w.transfers(layer) - before; n != transfers {
				t.Errorf("%s: Harbor was asked %d times for the layer, want %d", name, n, transfers)
			}
			if n := len(c.partsOf(layer)) - parts; n < size/part {
				t.Errorf("%s: containerd asked for %d parts of the layer, want at least %d", name, n, size/part)
			}
		}
	}
}

// transfers counts the requests for content by its digest that reached Harbor.
func (w *mirrorWorld) transfers(of v1.Hash) int {
	return w.harbor.Count(func(r harbortest.Request) bool {
		return r.Method == http.MethodGet && strings.HasSuffix(r.Path, "/"+of.String())
	})
}

// partsOf are the ranges of a blob that the client asked for, each open at its end.
func (c mirrorClient) partsOf(blob v1.Hash) (ranges []string) {
	for _, found := range regexp.MustCompile(`(?m)^GET \S+/blobs/`+blob.String()+`\S* HTTP/1\.1\r\n(?:\S+: .*\r\n)*?Range: (bytes=\d+-)\r$`).FindAllStringSubmatch(c.wire.requests(), -1) {
		ranges = append(ranges, found[1])
	}
	return ranges
}
