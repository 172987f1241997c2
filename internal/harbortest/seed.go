package harbortest

import (
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// The accounts of [Seed] beside the administrator.
const (
	Puller     = "robot$team-a+puller" // pulls from team-a
	Pusher     = "robot$pusher"        // pulls from and pushes to team-a and library
	Everything = "robot$everything"    // pulls from every project, lists the catalog
	Idle       = "robot$disabled"      // disabled
	Alice      = "alice"               // a user: pulls from and pushes to team-a
	Bob        = "bob"                 // a user without any right
)

// Password returns the password that [Seed] gives to an account.
func Password(account string) string {
	if account == "admin" {
		return AdminPassword
	}
	return "secret-of-" + account + "-6f1d"
}

// Seed fills a Harbor with the accounts, projects and images that tests and the
// demo share, and that the recorded Harbor had:
//
//	library    public     base:1.0 (Docker), base-oci:1.0, multi:1.0 (OCI index), multi-docker:1.0
//	team-a     private    app:1.0 1.1 latest a1…a5 (1.0 has two referrers and a signature tag),
//	                      big:1.0 (2 MiB), multi:1.0, artifact:1.0, nested/deep/name:1.0, empty (no tags)
//	team-b     private    secret:1.0
//	hub-proxy  proxy cache of library/fresh:1.0 2.0, library/freshbig:1.0 (512 KiB),
//	                      library/freshmulti:1.0, library/trim:1 (amd64, arm64), flat2:1.0
func Seed(h *Harbor) error {
	for _, p := range []Project{
		{Name: "library", Public: true}, {Name: "team-a"}, {Name: "team-b"}, {Name: "hub-proxy", ProxyCache: true},
	} {
		h.AddProject(p)
	}
	for _, a := range []Account{
		{Name: Puller, Pull: []string{"team-a"}},
		{Name: Pusher, Push: []string{"team-a", "library"}},
		{Name: Everything, Pull: []string{"*"}, Catalog: true},
		{Name: Idle, Pull: []string{"team-a"}, Disabled: true},
		{Name: Alice, Push: []string{"team-a"}},
		{Name: Bob},
	} {
		a.Password = Password(a.Name)
		h.AddAccount(a)
	}
	s := seeder{h: h}
	s.library()
	s.teams()
	s.hubProxy()
	return errors.Join(s.errs...)
}

// seeder pushes, and keeps the errors.
type seeder struct {
	h    *Harbor
	errs []error
}

// baseLayer is shared by library/base and by what is built on it.
var baseLayer = layerSpec{"base", 2264}

func (s *seeder) note(err error) {
	if err != nil {
		s.errs = append(s.errs, fmt.Errorf("seed: %w", err))
	}
}

func (s *seeder) image(g *Registry, f format, repository, tag, name string, layers ...layerSpec) v1.Hash {
	img, err := image(name, f, layers...)
	if err != nil {
		s.note(err)
		return v1.Hash{}
	}
	digest, err := g.Push(repository, tag, img)
	s.note(err)
	return digest
}

func (s *seeder) index(g *Registry, child func(string, ...int) (v1.Image, error), list types.MediaType, repository, tag string) {
	index, err := Index(repository+":"+tag, child, 5259, "amd64", "arm64")
	if err != nil {
		s.note(err)
		return
	}
	_, err = g.PushIndex(repository, tag, mutate.IndexMediaType(index, list))
	s.note(err)
}

func (s *seeder) artifact(g *Registry, repository, tag string, a Artifact) {
	_, err := g.PushArtifact(repository, tag, a)
	s.note(err)
}

func (s *seeder) library() {
	g, err := s.h.Content("library")
	s.note(err)
	s.image(g, docker, "library/base", "1.0", "base", baseLayer)
	s.image(g, oci, "library/base-oci", "1.0", "base", baseLayer)
	s.index(g, Image, types.OCIImageIndex, "library/multi", "1.0")
	s.index(g, DockerImage, types.DockerManifestList, "library/multi-docker", "1.0")
}

func (s *seeder) teams() {
	g, err := s.h.Content("team-a")
	s.note(err)
	app := s.image(g, oci, "team-a/app", "1.0", "app 1.0", baseLayer, layerSpec{"app 1.0", 3266})
	for _, tag := range []string{"1.1", "latest", "a1", "a2", "a3", "a4", "a5"} {
		s.image(g, oci, "team-a/app", tag, "app "+tag, baseLayer)
	}
	s.image(g, oci, "team-a/app", "sha256-"+app.Hex+".sig", "signature", layerSpec{"signature", 1769})
	for kind, created := range map[string]string{
		"application/vnd.example.sbom+json": "2026-11-23T13:35:19Z", "application/vnd.example.signature": "2026-11-23T13:35:20Z",
	} {
		s.artifact(g, "team-a/app", "", Artifact{
			Type: kind, MediaType: "application/json", Content: []byte(`{"of":"` + kind + `"}`), Subject: app,
			Annotations: [][2]string{{"org.opencontainers.image.created", created}},
		})
	}
	s.image(g, oci, "team-a/big", "1.0", "big", layerSpec{"big", 2 << 20})
	s.index(g, Image, types.OCIImageIndex, "team-a/multi", "1.0")
	s.artifact(g, "team-a/artifact", "1.0", Artifact{
		Type: "application/vnd.example.thing", MediaType: "application/json", Content: []byte(`{"thing":"an artifact"}`),
	})
	s.image(g, oci, "team-a/nested/deep/name", "1.0", "name", baseLayer)
	gone := s.image(g, oci, "team-a/empty", "gone", "gone", baseLayer)
	s.note(g.DeleteManifest("team-a/empty", gone))

	g, err = s.h.Content("team-b")
	s.note(err)
	s.image(g, oci, "team-b/secret", "1.0", "secret", layerSpec{"secret", 2771})
}

func (s *seeder) hubProxy() {
	g, err := s.h.Upstream("hub-proxy")
	s.note(err)
	fresh := layerSpec{"fresh", 3234}
	s.image(g, docker, "library/fresh", "1.0", "fresh 1.0", fresh, layerSpec{"fresh 1.0", 3231})
	s.image(g, docker, "library/fresh", "2.0", "fresh 2.0", fresh, layerSpec{"fresh 2.0", 3229})
	s.image(g, docker, "library/freshbig", "1.0", "freshbig", layerSpec{"freshbig", 512 << 10})
	s.index(g, Image, types.OCIImageIndex, "library/freshmulti", "1.0")
	s.index(g, DockerImage, types.OCIImageIndex, "library/trim", "1")
	s.image(g, docker, "flat2", "1.0", "flat2", baseLayer)
}
