package harbortest

import (
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// serveManifest answers end-3 and passes end-7 and end-9 on.
func (x *exchange) serveManifest(p project) {
	switch x.r.Method {
	case http.MethodPut:
		x.putManifest(p)
	case http.MethodDelete:
		x.deleteManifest(p)
	case http.MethodGet, http.MethodHead:
		if p.proxy == nil || !x.proxyManifest(p) {
			x.localManifest(p)
		}
	default:
		x.notAllowed("DELETE, GET, HEAD, PUT")
	}
}

// localManifest serves what Harbor has. Core knows what exists; the storage
// registry, which compares media types with Accept, has the bytes.
func (x *exchange) localManifest(p project) {
	m, ok := p.content.manifest(x.to.repository, x.to.reference)
	if !ok {
		x.noManifest(p)
		return
	}
	if p.Policy == RequireSignature {
		x.fail(http.StatusPreconditionFailed, "PROJECTPOLICYVIOLATION", "The image is not signed by cosign.")
		return
	}
	if strings.Trim(x.r.Header.Get("If-None-Match"), `"`) == m.digest.String() {
		x.w.WriteHeader(http.StatusNotModified)
		return
	}
	if x.storageDown() {
		return
	}
	if refused := refusedType(m.mediaType, x.r.Header.Values("Accept")); refused != "" {
		x.failStorage(http.StatusNotFound, registryError{Code: "MANIFEST_UNKNOWN", Message: refused})
		return
	}
	x.w.Header().Set("Docker-Content-Digest", m.digest.String())
	x.w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	x.w.Header().Set("Etag", `"`+m.digest.String()+`"`)
	x.answerManifest(m)
}

// answerManifest sends the body; Range is not looked at.
func (x *exchange) answerManifest(m manifest) {
	x.w.Header().Set("Content-Type", m.mediaType)
	x.w.Header().Set("Content-Length", strconv.Itoa(len(m.body)))
	x.w.WriteHeader(http.StatusOK)
	if !x.head() {
		write(x.w, string(m.body))
	}
}

// noManifest answers 404 as core does.
func (x *exchange) noManifest(p project) {
	message := fmt.Sprintf("repository %s not found", x.to.repository)
	if _, exists := p.content.tags(x.to.repository); exists || p.proxy != nil {
		message = fmt.Sprintf("artifact %s not found", x.artifact())
	}
	x.fail(http.StatusNotFound, "NOT_FOUND", message)
}

// artifact names what is asked for; anything that is no digest counts as a tag.
func (x *exchange) artifact() string {
	if _, ok := x.to.digest(); ok {
		return x.to.repository + "@" + x.to.reference
	}
	return x.to.repository + ":" + x.to.reference
}

// refusedType tells why a media type is not served for an Accept: OCI types must
// be named exactly, wildcards do not count, Docker types always come.
func refusedType(mediaType string, accept []string) string {
	if mediaType != ocispec.MediaTypeImageManifest && mediaType != ocispec.MediaTypeImageIndex {
		return ""
	}
	for _, line := range accept {
		named := slices.ContainsFunc(strings.Split(line, ","), func(s string) bool {
			t, _, err := mime.ParseMediaType(s)
			return err == nil && t == mediaType
		})
		if named {
			return ""
		}
	}
	if mediaType == ocispec.MediaTypeImageIndex {
		return "OCI index found, but accept header does not support OCI indexes"
	}
	return "OCI manifest found, but accept header does not support OCI manifests"
}
