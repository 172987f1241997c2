//go:build e2e

package e2e

import (
	"testing"
	"time"

	"breakwater/internal/harbortest"
)

// Every client pulls by ordinary names, each as client-config told it: cold, warm, and
// with Harbor down. Nothing comes from anywhere else, nobody has an account, and Harbor
// hears nothing but what Breakwater must ask. What is not there is looked for elsewhere
// only by those that nothing keeps from it.
func TestEveryClientByOrdinaryNames(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	clients := w.clients(t)
	images := make(map[string][]wanted)
	for _, c := range clients {
		images[c.name] = w.images(t, c.name)
	}
	all := func(t *testing.T) {
		for _, c := range clients {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				for _, image := range images[c.name] {
					c.check(t, image)
				}
			})
		}
	}
	const stale = 1200 * time.Millisecond // longer than tag_ttl

	t.Run("cold", all)
	w.quiet()
	for _, c := range clients {
		for _, image := range images[c.name] {
			for _, hash := range image.content(t, c.all) {
				if n := w.transfers(hash); n != 1 {
					t.Errorf("%s for %s: Harbor was asked %d times for the content of %s, want once", image.name, c.name, n, hash)
				}
			}
		}
	}

	time.Sleep(stale)
	cold := len(w.contentRequests())
	t.Run("warm", all)
	w.quiet()
	for _, request := range w.contentRequests()[cold:] {
		if !heardOf([]string{request}, "HEAD", "/manifests/") {
			t.Errorf("warm pulls made Harbor hear %s", request)
		}
	}

	w.harbor.SetDown(harbortest.Core, true)
	time.Sleep(stale)
	t.Run("Harbor down", all)
	w.harbor.SetDown(harbortest.Core, false)

	for _, c := range clients {
		t.Run("not there/"+c.name, func(t *testing.T) {
			c.miss(t, wanted{name: "docker.io/library/missing:1.0"})
			if heard := w.outside.take(); (len(heard) > 0) != c.fallsBack {
				t.Errorf("others were asked %q; that it asks them: %t", heard, c.fallsBack)
			}
		})
	}
}
