package registry

import "net/http"

// Kind is what a request asks for: a row of the distribution spec's table of
// endpoints. The zero value is none of them.
type Kind uint8

// The kinds, each with its id in the distribution spec.
const (
	_             Kind = iota
	KindBase           // end-1: GET /v2/
	KindBlob           // end-2: GET, HEAD /v2/<name>/blobs/<digest>
	KindManifest       // end-3: GET, HEAD /v2/<name>/manifests/<reference>
	KindTags           // end-8a, end-8b: GET /v2/<name>/tags/list
	KindReferrers      // end-12a, end-12b: GET /v2/<name>/referrers/<digest>
	KindCatalog        // GET /v2/_catalog: not in the OCI spec, in the Docker Registry API
	KindUpload         // end-4a … end-6, end-11, end-13: /v2/<name>/blobs/uploads/
	KindWrite          // end-7, end-9, end-10: PUT and DELETE of manifests, blobs and tags
)

// String is the kind as logs and metrics print it: a closed set of words.
func (k Kind) String() string {
	switch k {
	case KindBase:
		return "base"
	case KindBlob:
		return "blob"
	case KindManifest:
		return "manifest"
	case KindTags:
		return "tags"
	case KindReferrers:
		return "referrers"
	case KindCatalog:
		return "catalog"
	case KindUpload:
		return "upload"
	case KindWrite:
		return "write"
	}
	return "unknown"
}

// Unknown is the error code for what a request of this kind did not find.
func (k Kind) Unknown() Code {
	switch k {
	case KindManifest:
		return CodeManifestUnknown
	case KindBlob:
		return CodeBlobUnknown
	}
	return CodeNameUnknown
}

// Reads tells whether a request of this kind leaves the registry as it was.
func (k Kind) Reads() bool { return k != 0 && k != KindUpload && k != KindWrite }

// queryKeys are the query parameters that a kind knows, besides ns, which every
// read may carry ("registry-1.docker.io" and its like, sent by mirrors' clients).
func (k Kind) queryKeys() []string {
	switch k {
	case KindTags, KindCatalog:
		return []string{"n", "last"}
	case KindReferrers:
		return []string{"artifactType", "n"}
	}
	return nil
}

// of narrows an endpoint's kind by the method. HEAD is given by the spec for
// manifests and blobs only, but a HEAD of the others is a read as well, and
// upstream says what it thinks of it.
func (k Kind) of(method string) Kind {
	switch {
	case k == KindUpload:
		return KindUpload
	case method == http.MethodGet || method == http.MethodHead:
		return k
	}
	return KindWrite
}
