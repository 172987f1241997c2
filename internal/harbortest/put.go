package harbortest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxManifest is the largest manifest that is taken, in bytes.
const maxManifest = 4 << 20

// listed is what a manifest or an index lists.
type listed struct {
	Config    *ocispec.Descriptor  `json:"config"`
	Layers    []ocispec.Descriptor `json:"layers"`
	Manifests []ocispec.Descriptor `json:"manifests"`
	Subject   *ocispec.Descriptor  `json:"subject"`
}

// blobs are the layers and the config.
func (l listed) blobs() []ocispec.Descriptor {
	if l.Config == nil {
		return l.Layers
	}
	return append(l.Layers[:len(l.Layers):len(l.Layers)], *l.Config)
}

// putManifest answers end-7. Core looks at the body and at immutable tags, the
// storage registry at the digests.
func (x *exchange) putManifest(p project) {
	body, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxManifest))
	if err != nil {
		x.fail(http.StatusBadRequest, "MANIFEST_INVALID", "unmarshal manifest failed: "+err.Error())
		return
	}
	mediaType := x.r.Header.Get("Content-Type")
	var list listed
	err = json.Unmarshal(body, &list)
	if err == nil && mediaType == "" {
		err = errors.New("missing signature key") // it was taken for a manifest of schema 1
	}
	if err != nil {
		x.fail(http.StatusBadRequest, "MANIFEST_INVALID", "unmarshal manifest failed: "+err.Error())
		return
	}
	if x.immutable(p) || x.storageDown() {
		return
	}
	tag := x.to.reference
	if d, ok := x.to.digest(); ok {
		if tag = ""; d != digest.FromBytes(body) {
			x.failStorage(http.StatusBadRequest, registryError{Code: "DIGEST_INVALID", Message: "provided digest did not match uploaded content"})
			return
		}
	}
	if d := p.content.missingReference(x.to.repository, list); d != "" {
		x.failStorage(http.StatusBadRequest, registryError{Code: "MANIFEST_BLOB_UNKNOWN", Message: "blob unknown to registry", Detail: d.String()})
		return
	}
	x.storeManifest(p, tag, mediaType, body, list)
}

func (x *exchange) storeManifest(p project, tag, mediaType string, body []byte, list listed) {
	if _, err := p.content.content.PushManifest(context.Background(), x.to.repository, tag, body, mediaType); err != nil {
		x.failStorage(http.StatusBadRequest, registryError{Code: "MANIFEST_INVALID", Message: err.Error()})
		return
	}
	if list.Subject != nil {
		x.w.Header().Set("Oci-Subject", list.Subject.Digest.String())
	}
	x.answerStored("manifests", digest.FromBytes(body))
}

// immutable answers 412 to a push to a tag that may not change, even to what it
// names already.
func (x *exchange) immutable(p project) bool {
	if _, taken := p.content.manifest(x.to.repository, x.to.reference); !taken || !p.Immutable {
		return false
	}
	name := x.to.repository[len(p.Name)+1:]
	x.fail(http.StatusPreconditionFailed, "PRECONDITION",
		fmt.Sprintf("Failed to process request due to '%s:%s' configured as immutable.", name, x.to.reference))
	return true
}

// deleteManifest answers end-9, by digest only.
func (x *exchange) deleteManifest(p project) {
	d, err := digest.Parse(x.to.reference)
	if err != nil {
		x.fail(http.StatusBadRequest, "UNSUPPORTED", fmt.Sprintf("unsupported digest %s: %v", x.to.reference, err))
		return
	}
	if _, ok := p.content.manifest(x.to.repository, x.to.reference); !ok {
		x.noManifest(p)
		return
	}
	if tag := p.content.tagOf(x.to.repository, d); tag != "" && p.Immutable {
		x.fail(http.StatusPreconditionFailed, "PRECONDITION", fmt.Sprintf("the tag %s configured as immutable, cannot be deleted", tag))
		return
	}
	if err := p.content.deleteManifest(x.to.repository, d); err != nil {
		http.Error(x.w, err.Error(), http.StatusInternalServerError)
		return
	}
	x.w.Header().Set("Content-Length", "0")
	x.w.WriteHeader(http.StatusAccepted)
}

// missingReference returns a digest that a manifest lists and the repository
// does not hold. Nobody looks for the subject and for layers that are not to be
// distributed: who may push can list any digest there.
func (g *Registry) missingReference(repository string, list listed) digest.Digest {
	for _, b := range list.blobs() {
		if _, ok := g.blob(repository, b.Digest); !ok && types.MediaType(b.MediaType).IsDistributable() {
			return b.Digest
		}
	}
	for _, m := range list.Manifests {
		if _, ok := g.manifest(repository, m.Digest.String()); !ok {
			return m.Digest
		}
	}
	return ""
}
