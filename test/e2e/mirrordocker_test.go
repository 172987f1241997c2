//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// docker is a daemon with registry-mirrors, and nothing else that was said to it of
// registries. It mirrors Docker Hub alone; others are pulled by Breakwater's own name.
func (w *mirrorWorld) docker(t *testing.T) mirrorClient {
	t.Helper()
	wire := w.newWire(t)
	var told map[string]any
	decode(t, []byte(w.clientConfig(t, wire, "docker")), &told)
	docker := startDaemon(t, w.newHome(t), "", told)
	return mirrorClient{name: "docker", wire: wire, pull: func(t *testing.T, image wanted) {
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
	}}
}
