package harbortest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ocimem"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
)

// Registry is the content of one registry: repositories with tags, manifests
// and blobs. Each project of a Harbor has one, and a proxy-cache project has
// another one as its upstream. It is safe for concurrent use.
type Registry struct {
	content *ocimem.Registry

	mu   sync.Mutex                   // guards read
	read map[repositoryDigest]*[]byte // blobs that were read once, see blob
}

type repositoryDigest struct {
	repository string
	digest     digest.Digest
}

// manifest is a stored manifest as it is served.
type manifest struct {
	digest    digest.Digest
	mediaType string
	body      []byte
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	return &Registry{
		// What a manifest lists is checked by missingReference, which answers as
		// Harbor does and knows the layers that Harbor does not look for.
		content: ocimem.NewWithConfig(&ocimem.Config{LaxChildReferences: true}),
		read:    map[repositoryDigest]*[]byte{},
	}
}

// manifest returns the manifest that a reference (a tag or a digest) names.
func (g *Registry) manifest(repository, reference string) (manifest, bool) {
	ctx := context.Background()
	get := g.content.GetTag
	if d, err := digest.Parse(reference); err == nil {
		get = func(ctx context.Context, repository, _ string) (ociregistry.BlobReader, error) {
			return g.content.GetManifest(ctx, repository, d)
		}
	}
	r, err := get(ctx, repository, reference)
	if err != nil {
		return manifest{}, false
	}
	body, err := readAll(r)
	if err != nil {
		return manifest{}, false
	}
	return manifest{digest: r.Descriptor().Digest, mediaType: r.Descriptor().MediaType, body: body}, true
}

// blob returns the bytes of a blob of a repository. They are read from the
// registry once: ocimem hashes a blob at each look-up, which would make the
// stand-in slower than the network it stands for.
func (g *Registry) blob(repository string, d digest.Digest) ([]byte, bool) {
	key := repositoryDigest{repository, d}
	g.mu.Lock()
	known := g.read[key]
	g.mu.Unlock()
	if known != nil {
		return *known, true
	}
	r, err := g.content.GetBlob(context.Background(), repository, d)
	if err != nil {
		return nil, false
	}
	body, err := readAll(r)
	if err != nil {
		return nil, false
	}
	g.mu.Lock()
	g.read[key] = &body
	g.mu.Unlock()
	return body, true
}

// deleteBlob removes a blob from a repository.
func (g *Registry) deleteBlob(repository string, d digest.Digest) error {
	g.mu.Lock()
	delete(g.read, repositoryDigest{repository, d})
	g.mu.Unlock()
	return g.content.DeleteBlob(context.Background(), repository, d)
}

// DeleteTag removes a tag. The manifest stays and is served by its digest, as
// after a deletion in Harbor's portal. It is an error if there is no such tag.
func (g *Registry) DeleteTag(repository, tag string) error {
	if err := g.content.DeleteTag(context.Background(), repository, tag); err != nil {
		return fmt.Errorf("delete %s:%s: %w", repository, tag, err)
	}
	return nil
}

// DeleteManifest removes a manifest and all its tags, as DELETE by digest (end-9)
// does. Its blobs stay: Harbor's garbage collection has not run. It is an error
// if there is no such manifest.
func (g *Registry) DeleteManifest(repository string, manifest v1.Hash) error {
	if err := g.deleteManifest(repository, digest.Digest(manifest.String())); err != nil {
		return fmt.Errorf("delete %s@%s: %w", repository, manifest, err)
	}
	return nil
}

// deleteManifest removes a manifest and the tags that point at it.
func (g *Registry) deleteManifest(repository string, d digest.Digest) error {
	ctx := context.Background()
	for tag := g.tagOf(repository, d); tag != ""; tag = g.tagOf(repository, d) {
		if err := g.content.DeleteTag(ctx, repository, tag); err != nil {
			return err
		}
	}
	return g.content.DeleteManifest(ctx, repository, d)
}

// tagOf returns a tag that points at a manifest, or "".
func (g *Registry) tagOf(repository string, d digest.Digest) string {
	tags, _ := g.tags(repository)
	for _, tag := range tags {
		if desc, err := g.content.ResolveTag(context.Background(), repository, tag); err == nil && desc.Digest == d {
			return tag
		}
	}
	return ""
}

// holds tells whether any repository has the blob.
func (g *Registry) holds(d digest.Digest) bool {
	for name := range g.content.Repositories(context.Background(), "") {
		if _, ok := g.blob(name, d); ok {
			return true
		}
	}
	return false
}

// tags lists a repository's tags in lexical order. The second result tells
// whether the repository exists; an empty one does.
func (g *Registry) tags(repository string) ([]string, bool) {
	tags := []string{}
	for tag, err := range g.content.Tags(context.Background(), repository, "") {
		if errors.Is(err, ociregistry.ErrNameUnknown) {
			return nil, false
		}
		tags = append(tags, tag)
	}
	return tags, true
}

// repositories lists the repositories that hold a tagged manifest, in lexical
// order.
func (g *Registry) repositories() []string {
	var names []string
	for name := range g.content.Repositories(context.Background(), "") {
		if tags, _ := g.tags(name); len(tags) > 0 {
			names = append(names, name)
		}
	}
	return names
}

// referrers lists the manifests whose subject is the digest.
func (g *Registry) referrers(repository string, d digest.Digest) []ociregistry.Descriptor {
	found := []ociregistry.Descriptor{}
	for desc, err := range g.content.Referrers(context.Background(), repository, d, "") {
		if err == nil {
			found = append(found, desc)
		}
	}
	return found
}

// readAll reads a blob into one allocation of its size.
func readAll(r ociregistry.BlobReader) ([]byte, error) {
	defer r.Close()
	body := make([]byte, r.Descriptor().Size)
	_, err := io.ReadFull(r, body)
	return body, err
}
