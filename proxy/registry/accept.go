package registry

import (
	"mime"
	"slices"
	"strings"
)

// The four media types of a manifest (OCI image spec; Docker image manifest
// version 2, schema 2).
const (
	TypeOCIManifest    = "application/vnd.oci.image.manifest.v1+json"
	TypeOCIIndex       = "application/vnd.oci.image.index.v1+json"
	TypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	TypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// ManifestTypes is the Accept header that upstream is always asked with: Harbor
// answers 404 for an OCI manifest whose exact type is missing from it, wildcards
// included.
const ManifestTypes = TypeOCIManifest + ", " + TypeOCIIndex + ", " + TypeDockerManifest + ", " + TypeDockerList

// ManifestType returns the type that a Content-Type names, without parameters and
// in lower case, and whether it is one of the four.
func ManifestType(contentType string) (string, bool) {
	named := mediaType(contentType)
	switch named {
	case TypeOCIManifest, TypeOCIIndex, TypeDockerManifest, TypeDockerList:
		return named, true
	}
	return named, false
}

// Accepts tells whether a manifest of the given media type may be the answer to
// a request with these Accept header fields (RFC 9110 §12.5.1): when there is
// none, or one has a matching wildcard or lists the type with a weight above
// zero. Docker's types are always accepted, as Harbor does: clients that know
// them only have never had to ask.
func Accepts(accept []string, contentType string) bool {
	offered := mediaType(contentType)
	if offered == TypeDockerManifest || offered == TypeDockerList {
		return true
	}
	main, _, _ := strings.Cut(offered, "/")
	wanted := []string{offered, main + "/*", "*/*"}
	asked := false
	for _, field := range accept {
		for item := range strings.SplitSeq(field, ",") {
			item = strings.TrimSpace(item)
			if item == "" {
				continue
			}
			asked = true
			name, parameters, err := mime.ParseMediaType(item)
			if err == nil && slices.Contains(wanted, name) && !zeroWeight(parameters["q"]) {
				return true
			}
		}
	}
	return !asked
}

// zeroWeight recognises "0", "0.", "0.0", "0.00" and "0.000" (RFC 9110 §12.4.2).
func zeroWeight(q string) bool {
	return q != "" && strings.Trim(q, "0.") == "" && strings.HasPrefix(q, "0")
}

func mediaType(contentType string) string {
	name, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(name))
}
