package explain

import (
	"fmt"
	"net/http"
	"strings"

	"breakwater/proxy/registry"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"
)

// dockerHub is the registry that clients mean where they name none.
const dockerHub = "docker.io"

// Image is one image as clients name it.
type Image struct {
	// Registry is the host, in lower case, with its port if there is one.
	Registry string
	// Implied says that no host was written.
	Implied bool
	// Repository is below the registry.
	Repository string
	// Tag or Digest, never both.
	Tag    string
	Digest digest.Digest
}

// ParseImage reads an image's name as Docker does: without a host it is docker.io's,
// a single name there lies below library/, and without a tag it is latest. A digest
// makes a tag beside it void.
func ParseImage(text string) (Image, error) {
	reference, err := name.ParseReference(text)
	if err != nil {
		return Image{}, fmt.Errorf("%q is not the name of an image: write it as for docker pull, such as nginx, quay.io/acme/app:1.0 or harbor.example.com/team-a/app@sha256:…", text)
	}
	repository := reference.Context()
	image := Image{Registry: strings.ToLower(repository.RegistryStr()), Repository: repository.RepositoryStr()}
	written, _, _ := strings.Cut(text, "/")
	image.Implied = !strings.EqualFold(written, image.Registry) && written != dockerHub
	if image.Registry == name.DefaultRegistry {
		image.Registry = dockerHub
	}
	if !registry.ValidName(image.Repository) {
		return Image{}, fmt.Errorf("%q is not the name of a repository: lower-case letters, digits, single separators, at most %d characters", image.Repository, registry.MaxName)
	}
	if _, byDigest := reference.(name.Digest); !byDigest {
		image.Tag = reference.Identifier()
		if !registry.ValidTag(image.Tag) {
			return Image{}, fmt.Errorf("%q is not a tag: letters, digits, ., - and _, at most 128 of them, the first no . and no -", image.Tag)
		}
		return image, nil
	}
	var ok bool
	if image.Digest, ok = registry.ParseDigest(reference.Identifier()); !ok {
		return Image{}, fmt.Errorf("%q is not a digest: write sha256: and 64 hexadecimal digits, or sha512: and 128", reference.Identifier())
	}
	return image, nil
}

// String is the image in full.
func (i Image) String() string {
	if i.Digest != "" {
		return i.Registry + "/" + i.Repository + "@" + i.Digest.String()
	}
	return i.Registry + "/" + i.Repository + ":" + i.Tag
}

// Request is what a mirror's client sends for the image's manifest. here is for a
// client that takes Breakwater itself for the registry, and so names none.
func (i Image) Request(here bool) registry.Request {
	request := registry.Request{Kind: registry.KindManifest, Method: http.MethodGet, Name: i.Repository, Tag: i.Tag, Digest: i.Digest}
	if !here {
		request.NS = i.Registry
	}
	return request
}
