package harbortest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// serveReferrers answers end-12a and end-12b. Whatever is unknown, the
// repository included, has an empty list; a proxy-cache project does not ask
// its upstream.
func (x *exchange) serveReferrers(p project) {
	if x.r.Method != http.MethodGet { // core leaves it to the storage registry, which has no such path
		x.w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		http.NotFound(x.w, x.r)
		return
	}
	d, err := digest.Parse(x.to.reference)
	if err != nil {
		x.fail(http.StatusBadRequest, "BAD_REQUEST", fmt.Sprintf("unsupported digest %s: %v", x.to.reference, err))
		return
	}
	found := []ociregistry.Descriptor{}
	if p.proxy == nil {
		found = p.content.referrers(x.to.repository, d)
	}
	x.w.Header().Set("X-Total-Count", strconv.Itoa(len(found)))
	if wanted := x.r.URL.Query().Get("artifactType"); wanted != "" {
		x.w.Header().Set("Oci-Filters-Applied", "artifactType")
		found = ofType(found, wanted)
	}
	body, err := json.Marshal(struct {
		SchemaVersion int                      `json:"schemaVersion"`
		MediaType     string                   `json:"mediaType"`
		Manifests     []ociregistry.Descriptor `json:"manifests"`
	}{2, ocispec.MediaTypeImageIndex, found})
	if err != nil {
		http.Error(x.w, err.Error(), http.StatusInternalServerError)
		return
	}
	x.answerJSON(http.StatusOK, ocispec.MediaTypeImageIndex, append(body, '\n'))
}

func ofType(all []ociregistry.Descriptor, wanted string) []ociregistry.Descriptor {
	of := []ociregistry.Descriptor{}
	for _, d := range all {
		if d.ArtifactType == wanted {
			of = append(of, d)
		}
	}
	return of
}
