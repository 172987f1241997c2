//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"

	"breakwater/internal/harbortest"
)

// docker is a daemon with registry-mirrors, and nothing else that was said to it of
// registries. It mirrors Docker Hub alone; others are pulled by Breakwater's own name.
func (w *mirrorWorld) docker(t *testing.T) mirrorClient {
	t.Helper()
	wire := w.newWire(t)
	var told map[string]any
	decode(t, []byte(w.clientConfig(t, wire, "docker")), &told)
	docker := startDaemon(t, w.newHome(t), "", told)
	c := mirrorClient{name: "docker", wire: wire, fallsBack: true}
	c.pull = func(t *testing.T, image wanted) {
		reference := image.short()
		if reference == image.name {
			reference = wire.address + "/" + image.name
		}
		docker.pull(t, reference)
		docker.checkImage(t, reference, image.resolved, image.image)
		if listed := docker.run(t, "images", "--digests"); !strings.Contains(listed, image.resolved.String()) {
			t.Errorf("docker images --digests does not list %s:\n%s", image.resolved, listed)
		}
		docker.run(t, "image", "rm", "--force", reference)
	}
	c.miss = func(t *testing.T, image wanted) { docker.checkRefused(t, image.short(), "") }
	return c
}

// `docker pull nginx`, in that spelling, on a daemon that has registry-mirrors and no
// account anywhere, brings what Harbor has as hub-proxy/library/nginx.
func TestDockerPullNginx(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	docker := w.docker(t)
	nginx := must(harbortest.DockerImage("nginx", 250_000, 60_000, 2_000))(t)
	must(w.behind(t, hubProject).Push("library/nginx", "latest", nginx))(t)
	docker.check(t, wanted{"docker.io/library/nginx", nil, nginx, digestOf(t, nginx)})
	asked := w.contentRequests()
	for _, request := range []string{
		"HEAD /v2/hub-proxy/library/nginx/manifests/latest",
		"GET /v2/hub-proxy/library/nginx/manifests/" + digestOf(t, nginx).String(),
		"GET /v2/hub-proxy/library/nginx/blobs/" + layersOf(t, nginx)[0].String(),
	} {
		if !slices.Contains(asked, request) {
			t.Errorf("Harbor did not hear %s: %v", request, asked)
		}
	}
}
