//go:build e2e

package e2e

import (
	"testing"

	"breakwater/internal/harbortest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The account that Breakwater holds, as an operator would make it: a robot that
// may pull and list, nothing else. It has no right on team-b.
const (
	robotName     = "robot$breakwater"
	robotPassword = "Yc3fXk0QpLrT8mVwZs5N"
)

// The kinds of the artifact and of what refers to it.
const (
	artifactType    = "application/vnd.breakwater.test.settings.v1"
	artifactPayload = `{"payload": "of the artifact"}`
	sbomType        = "application/vnd.breakwater.test.sbom.v1"
)

// conformanceRepository holds everything once more, under the tags app, multi
// and artifact: the conformance test reads one repository.
const conformanceRepository = "team-a/conformance"

// A harbor is the stand-in with private content, on a port of its own.
type harbor struct {
	*harbortest.Harbor
	url string

	app      v1.Image      // team-a/app:1.0, OCI, three layers
	base     v1.Image      // library/base:1.0, Docker's media types, three layers
	multi    v1.ImageIndex // team-a/multi:1.0, linux on amd64 and arm64
	artifact v1.Hash       // team-a/artifact:1.0
	sbom     v1.Hash       // refers to artifact, has no tag
}

func startHarbor(t *testing.T) *harbor {
	t.Helper()
	h := &harbor{Harbor: harbortest.New()}
	for _, project := range []string{"library", "team-a", "team-b"} {
		h.AddProject(harbortest.Project{Name: project})
	}
	h.AddAccount(harbortest.Account{
		Name: robotName, Password: robotPassword, Pull: []string{"library", "team-a"}, Catalog: true,
	})
	h.fill(t)
	server, err := h.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	h.url = server.URL
	return h
}

// fill pushes the content.
func (h *harbor) fill(t *testing.T) {
	t.Helper()
	h.app = must(harbortest.Image("app", 200_000, 50_000, 3_000))(t)
	h.base = must(harbortest.DockerImage("base", 100_000, 20_000, 2_000))(t)
	h.multi = must(harbortest.Index("multi", harbortest.Image, 30_000, "amd64", "arm64"))(t)
	must(h.Push("library/base", "1.0", h.base))(t)
	must(h.Push("team-b/secret", "1.0", h.app))(t)

	must(h.Push("team-a/app", "1.0", h.app))(t)
	must(h.Push(conformanceRepository, "app", h.app))(t)
	must(h.PushIndex("team-a/multi", "1.0", h.multi))(t)
	must(h.PushIndex(conformanceRepository, "multi", h.multi))(t)
	h.artifact, h.sbom = h.pushArtifact(t, "team-a/artifact", "1.0")
	h.pushArtifact(t, conformanceRepository, "artifact")
}

// pushArtifact pushes the artifact and, by digest alone, what refers to it.
func (h *harbor) pushArtifact(t *testing.T, repository, tag string) (artifact, sbom v1.Hash) {
	t.Helper()
	artifact = must(h.PushArtifact(repository, tag, harbortest.Artifact{
		Type: artifactType, MediaType: "application/json", Content: []byte(artifactPayload),
	}))(t)
	sbom = must(h.PushArtifact(repository, "", harbortest.Artifact{
		Type: sbomType, MediaType: "application/json", Content: []byte(`{"components": []}`), Subject: artifact,
	}))(t)
	return artifact, sbom
}

// must makes the errors of what prepares a test end it.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// mustDo is must where there is nothing but an error.
func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
