//go:build e2e

package e2e

import (
	"runtime"
	"strings"
	"testing"

	"breakwater/internal/harbortest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A wanted image is one that clients pull by its ordinary name.
type wanted struct {
	name     string        // docker.io/library/nginx:1.0
	index    v1.ImageIndex // what the tag names, or nil
	image    v1.Image      // what it names, or the index's for this machine
	resolved v1.Hash       // what it names
}

// short is the name as people write it, who leave out what is usual.
func (i wanted) short() string { return strings.TrimPrefix(i.name, "docker.io/library/") }

// platforms are those of the index.
var platforms = []string{"amd64", "arm64"}

// content is all that belongs to the images but what the name resolves to: layers and
// configs, and of an index the manifests. It is that of this machine's platform alone, or
// of all.
func (i wanted) content(t *testing.T, all bool) []v1.Hash {
	t.Helper()
	if i.index == nil {
		return contentOf(t, i.image)
	}
	images := []v1.Image{i.image}
	if all {
		images = i.images(t)
	}
	var content []v1.Hash
	for _, img := range images {
		content = append(append(content, digestOf(t, img)), contentOf(t, img)...)
	}
	return content
}

// images are those of all platforms.
func (i wanted) images(t *testing.T) []v1.Image {
	t.Helper()
	if i.index == nil {
		return []v1.Image{i.image}
	}
	var images []v1.Image
	for _, platform := range platforms {
		images = append(images, child(t, i.index, platform))
	}
	return images
}

// images pushes what one client pulls, so that its first pulls are cold: an image of
// several layers and one of several platforms, behind a proxy cache and in a private
// project, in OCI's media types and in Docker's.
func (w *mirrorWorld) images(t *testing.T, client string) []wanted {
	t.Helper()
	tag := ":" + client
	hub, quay, own := w.behind(t, hubProject), w.behind(t, quayProject), must(w.harbor.Content(ownProject))(t)
	nginx := must(harbortest.DockerImage("nginx"+tag, 300_000, 50_000, 3_000))(t)
	must(hub.Push("library/nginx", client, nginx))(t)
	prometheus := must(harbortest.Index("prometheus"+tag, harbortest.Image, 120_000, platforms...))(t)
	must(quay.PushIndex("prometheus/prometheus", client, prometheus))(t)
	app := must(harbortest.Image("app"+tag, 200_000, 70_000, 2_000))(t)
	must(own.Push("platform/app", client, app))(t)
	tools := mutate.IndexMediaType(must(harbortest.Index("tools"+tag, harbortest.DockerImage, 90_000, platforms...))(t), types.DockerManifestList)
	must(own.PushIndex("platform/ci/tools", client, tools))(t)
	return []wanted{
		{"docker.io/library/nginx" + tag, nil, nginx, digestOf(t, nginx)},
		{"quay.io/prometheus/prometheus" + tag, prometheus, child(t, prometheus, runtime.GOARCH), digestOf(t, prometheus)},
		{"harbor.example.com/platform/app" + tag, nil, app, digestOf(t, app)},
		{"harbor.example.com/platform/ci/tools" + tag, tools, child(t, tools, runtime.GOARCH), digestOf(t, tools)},
	}
}

// behind is the registry that a proxy-cache project is a cache of.
func (w *mirrorWorld) behind(t *testing.T, project string) *harbortest.Registry {
	t.Helper()
	return must(w.harbor.Upstream(project))(t)
}
