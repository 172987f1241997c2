package harbortest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"cuelabs.dev/go/oci/ociregistry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Push stores an image with its config and layers under repository:tag; with an
// empty tag it is stored by digest only. It returns the manifest's digest.
func (g *Registry) Push(repository, tag string, img v1.Image) (v1.Hash, error) {
	layers, err := img.Layers()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("push %s: %w", repository, err)
	}
	for _, layer := range layers {
		content, err := compressed(layer)
		if err != nil {
			return v1.Hash{}, fmt.Errorf("push %s: %w", repository, err)
		}
		if _, err := g.PushBlob(repository, content); err != nil {
			return v1.Hash{}, err
		}
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("push %s: %w", repository, err)
	}
	if _, err := g.PushBlob(repository, config); err != nil {
		return v1.Hash{}, err
	}
	return g.pushRaw(repository, tag, img)
}

// PushIndex stores an index with all its images, which get no tag, under
// repository:tag. It returns the index's digest.
func (g *Registry) PushIndex(repository, tag string, index v1.ImageIndex) (v1.Hash, error) {
	list, err := index.IndexManifest()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("push %s: %w", repository, err)
	}
	for _, child := range list.Manifests {
		img, err := index.Image(child.Digest)
		if err != nil {
			return v1.Hash{}, fmt.Errorf("push %s: %w", repository, err)
		}
		if _, err := g.Push(repository, "", img); err != nil {
			return v1.Hash{}, err
		}
	}
	return g.pushRaw(repository, tag, index)
}

// Artifact is an OCI artifact of one blob, for instance a signature or an SBOM.
type Artifact struct {
	Type        string      // artifactType, required
	MediaType   string      // of Content
	Content     []byte      // the blob
	Subject     v1.Hash     // the manifest it refers to, if any
	Annotations [][2]string // of the manifest: key and value
}

// PushArtifact stores an artifact; with an empty tag by digest only, as
// referrers usually are. It returns the manifest's digest.
func (g *Registry) PushArtifact(repository, tag string, a Artifact) (v1.Hash, error) {
	blob, err := g.PushBlob(repository, a.Content)
	if err != nil {
		return v1.Hash{}, err
	}
	if _, err := g.PushBlob(repository, ocispec.DescriptorEmptyJSON.Data); err != nil {
		return v1.Hash{}, err
	}
	m := ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: a.Type,
		Config:       ocispec.DescriptorEmptyJSON,
		Layers:       []ocispec.Descriptor{{MediaType: a.MediaType, Digest: digest.Digest(blob.String()), Size: int64(len(a.Content))}},
	}
	if a.Subject != (v1.Hash{}) {
		subject, ok := g.manifest(repository, a.Subject.String())
		if !ok {
			return v1.Hash{}, fmt.Errorf("push artifact to %s: no manifest %s there to be its subject", repository, a.Subject)
		}
		m.Subject = &ocispec.Descriptor{MediaType: subject.mediaType, Digest: subject.digest, Size: int64(len(subject.body))}
	}
	for _, kv := range a.Annotations {
		if m.Annotations == nil {
			m.Annotations = map[string]string{}
		}
		m.Annotations[kv[0]] = kv[1]
	}
	body, err := json.Marshal(m)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("push artifact to %s: %w", repository, err)
	}
	return g.PushManifest(repository, tag, m.MediaType, body)
}

// PushManifest stores a manifest as it is, whatever it lists; with an empty tag
// by digest only.
func (g *Registry) PushManifest(repository, tag, mediaType string, body []byte) (v1.Hash, error) {
	desc, err := g.content.PushManifest(context.Background(), repository, tag, body, mediaType)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("push manifest to %s: %w", repository, err)
	}
	return v1.NewHash(desc.Digest.String())
}

// PushBlob stores a blob in a repository.
func (g *Registry) PushBlob(repository string, content []byte) (v1.Hash, error) {
	desc, err := g.content.PushBlob(context.Background(), repository, ociregistry.Descriptor{
		MediaType: "application/octet-stream",
		Digest:    digest.FromBytes(content),
		Size:      int64(len(content)),
	}, bytes.NewReader(content))
	if err != nil {
		return v1.Hash{}, fmt.Errorf("push blob to %s: %w", repository, err)
	}
	return v1.NewHash(desc.Digest.String())
}

// pushRaw stores the manifest of an image or an index.
func (g *Registry) pushRaw(repository, tag string, m interface {
	RawManifest() ([]byte, error)
	MediaType() (types.MediaType, error)
}) (v1.Hash, error) {
	body, err := m.RawManifest()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("push %s: %w", repository, err)
	}
	mediaType, err := m.MediaType()
	if err != nil {
		return v1.Hash{}, fmt.Errorf("push %s: %w", repository, err)
	}
	return g.PushManifest(repository, tag, string(mediaType), body)
}

func compressed(layer v1.Layer) ([]byte, error) {
	size, err := layer.Size()
	if err != nil {
		return nil, err
	}
	r, err := layer.Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	content := make([]byte, size)
	_, err = io.ReadFull(r, content)
	return content, err
}
