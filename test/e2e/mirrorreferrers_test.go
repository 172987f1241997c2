//go:build e2e

package e2e

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// What refers to an artifact is found and pulled by the name that clients have for it.
func TestReferrersByOrdinaryNames(t *testing.T) {
	t.Parallel()
	w := newMirrorWorld(t)
	artifact, sbom := w.harbor.pushArtifact(t, "platform/charts/web", "1.0")
	wire, h := w.newWire(t), w.newHome(t)
	repository := wire.address + "/harbor.example.com/platform/charts/web"
	h.run(t, tool(t, "regctl"), "registry", "set", wire.address, "--tls", "disabled")

	t.Run("oras discover", func(t *testing.T) {
		var found struct {
			Referrers []struct {
				Reference, Digest, ArtifactType string
			}
		}
		decode(t, []byte(h.run(t, tool(t, "oras"), "discover", "--plain-http", "--format", "json", repository+":1.0")), &found)
		if len(found.Referrers) != 1 || found.Referrers[0].Digest != sbom.String() || found.Referrers[0].ArtifactType != sbomType ||
			found.Referrers[0].Reference != repository+"@"+sbom.String() {
			t.Errorf("oras found %+v, want %s", found.Referrers, sbom)
		}
	})
	t.Run("oras copy --recursive", func(t *testing.T) {
		dir := t.TempDir()
		h.run(t, tool(t, "oras"), "copy", "--recursive", "--from-plain-http", repository+":1.0", "--to-oci-layout", dir+":pulled")
		payload, _, err := v1.SHA256(strings.NewReader(artifactPayload))
		mustDo(t, err)
		for _, hash := range []v1.Hash{artifact, sbom, payload} {
			checkFile(t, filepath.Join(dir, "blobs", hash.Algorithm, hash.Hex), hash)
		}
	})
	t.Run("regctl artifact list", func(t *testing.T) {
		var found struct {
			Descriptors []struct{ Digest, ArtifactType string }
		}
		decode(t, []byte(h.run(t, tool(t, "regctl"), "artifact", "list", "--format", "{{json .}}", repository+":1.0")), &found)
		if len(found.Descriptors) != 1 || found.Descriptors[0].Digest != sbom.String() || found.Descriptors[0].ArtifactType != sbomType {
			t.Errorf("regctl found %+v, want %s", found.Descriptors, sbom)
		}
	})
	t.Run("regctl artifact get", func(t *testing.T) {
		if got := h.run(t, tool(t, "regctl"), "artifact", "get", "--subject", repository+":1.0"); got != `{"components": []}` {
			t.Errorf("regctl brought %q", got)
		}
	})
	t.Run("names in lists", func(t *testing.T) {
		if tags := strings.Fields(h.run(t, tool(t, "oras"), "repo", "tags", "--plain-http", repository)); !slices.Equal(tags, []string{"1.0"}) {
			t.Errorf("oras lists the tags %v, want 1.0", tags)
		}
		listed := strings.Fields(h.run(t, tool(t, "crane"), "catalog", wire.address))
		if !slices.Contains(listed, "harbor.example.com/platform/charts/web") {
			t.Errorf("the catalog %v lacks the artifact's repository", listed)
		}
		for _, name := range listed {
			if !strings.HasPrefix(name, "harbor.example.com/platform/") {
				t.Errorf("the catalog has %s", name)
			}
		}
	})
}
