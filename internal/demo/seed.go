package demo

import "breakwater/internal/harbortest"

// Who and what the demo's Harbor holds. Both projects are private; the robot may
// pull from the first one, and list the catalog.
const (
	project    = "platform"
	forbidden  = "finance"
	robot      = "robot$breakwater"
	repository = project + "/shop"     // the image that is pulled
	multi      = project + "/tools"    // an index of two architectures
	ledger     = forbidden + "/ledger" // an image that the robot may not have
	tag        = "1.0"
	sbom       = "1.0-sbom" // tag of an artifact that refers to the image
)

// layers are the sizes in bytes of the layers of the image that is pulled. The
// first one is longer than what Breakwater withholds until a digest is right.
var layers = [...]int{160_000, 48_000, 6_000}

// seed adds the projects, the robot and the images.
func (s *Stage) seed(password string) error {
	s.Harbor.AddProject(harbortest.Project{Name: project})
	s.Harbor.AddProject(harbortest.Project{Name: forbidden})
	s.Harbor.AddAccount(harbortest.Account{Name: robot, Password: password, Pull: []string{project}, Catalog: true})

	shop, err := harbortest.Image(repository+":"+tag, layers[:]...)
	if err != nil {
		return err
	}
	if s.digest, err = s.Harbor.Push(repository, tag, shop); err != nil {
		return err
	}
	if _, err = s.Harbor.PushArtifact(repository, sbom, harbortest.Artifact{
		Type: "application/spdx+json", MediaType: "application/spdx+json",
		Content: []byte(`{"spdxVersion":"SPDX-2.3","name":"shop"}`), Subject: s.digest,
	}); err != nil {
		return err
	}

	tools, err := harbortest.Index(multi+":"+tag, harbortest.Image, 6_000, "amd64", "arm64")
	if err != nil {
		return err
	}
	if _, err = s.Harbor.PushIndex(multi, tag, tools); err != nil {
		return err
	}

	secret, err := harbortest.Image(ledger+":"+tag, 6_000)
	if err != nil {
		return err
	}
	_, err = s.Harbor.Push(ledger, tag, secret)
	return err
}
