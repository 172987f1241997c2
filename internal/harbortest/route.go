package harbortest

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// kind is what a path under /v2/ names.
type kind int

const (
	kindUnknown kind = iota
	kindBase
	kindCatalog
	kindTags
	kindManifest
	kindBlob
	kindUploads // where uploads begin
	kindUpload  // one upload
	kindReferrers
)

// target is a path under /v2/, taken apart.
type target struct {
	kind       kind
	repository string
	reference  string // tag, digest or upload id
}

var targets = []struct {
	kind kind
	path *regexp.Regexp // repository, then reference
}{
	{kindTags, regexp.MustCompile(`^/v2/(.+)/tags/list()/?$`)},
	{kindManifest, regexp.MustCompile(`^/v2/(.+)/manifests/([^/]+)$`)},
	{kindUploads, regexp.MustCompile(`^/v2/(.+)/blobs/uploads()/?$`)},
	{kindUpload, regexp.MustCompile(`^/v2/(.+)/blobs/uploads/([^/]+)$`)},
	{kindBlob, regexp.MustCompile(`^/v2/(.+)/blobs/([A-Za-z0-9_+.-]+:[0-9a-fA-F]+)$`)},
	{kindReferrers, regexp.MustCompile(`^/v2/(.+)/referrers/([^/]+)$`)},
}

func parseTarget(path string) target {
	switch path {
	case "/v2/":
		return target{kind: kindBase}
	case "/v2/_catalog", "/v2/_catalog/":
		return target{kind: kindCatalog}
	}
	for _, t := range targets {
		if m := t.path.FindStringSubmatch(path); m != nil {
			return target{kind: t.kind, repository: m[1], reference: m[2]}
		}
	}
	return target{}
}

// digest returns the reference as a digest, if it is one.
func (t target) digest() (digest.Digest, bool) {
	d, err := digest.Parse(t.reference)
	return d, err == nil
}

// exchange is one request under /v2/ and its answer.
type exchange struct {
	h  *Harbor
	w  http.ResponseWriter
	r  *http.Request
	to target
	by caller
}

// head tells whether only headers are wanted.
func (x *exchange) head() bool { return x.r.Method == http.MethodHead }

// mountFrom is the repository that a blob shall be mounted from.
func (x *exchange) mountFrom() string {
	if x.to.kind != kindUploads || x.r.Method != http.MethodPost || !x.r.URL.Query().Has("mount") {
		return ""
	}
	return x.r.URL.Query().Get("from")
}

// serveRegistry answers a request under /v2/.
func (x *exchange) serveRegistry() {
	x.by = x.h.identify(x.r)
	switch {
	case x.to.kind == kindBase:
		x.serveBase()
	case x.to.kind == kindCatalog:
		x.serveCatalog()
	case x.to.kind == kindUnknown, actionOf(x.r.Method) == "":
		x.unauthorized("un-recognized request: "+x.r.Method+" "+x.r.URL.Path, "")
	default:
		if p, ok := x.authorize(); ok {
			x.serveRepository(p)
		}
	}
}

// serveBase is end-1: 200 only for somebody, asked of the storage registry.
func (x *exchange) serveBase() {
	if !x.by.known() {
		x.unauthorized("unauthorized", x.challenge())
		return
	}
	if x.storageDown() {
		return
	}
	x.w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	x.answerJSON(http.StatusOK, jsonType, []byte("{}"))
}

func (x *exchange) serveRepository(p project) {
	if actionOf(x.r.Method) == "push" && p.proxy != nil {
		x.fail(http.StatusForbidden, "DENIED", "denied: can not push artifact to a proxy project: "+p.Name)
		return
	}
	if x.redirectToLibrary(p) {
		return
	}
	switch x.to.kind {
	case kindTags:
		x.serveTags(p)
	case kindManifest:
		x.serveManifest(p)
	case kindBlob:
		x.serveBlob(p)
	case kindUploads:
		x.startUpload(p)
	case kindUpload:
		x.serveUpload(p)
	case kindReferrers:
		x.serveReferrers(p)
	}
}

// redirectToLibrary sends a short name of a Docker Hub project to the one with
// library/, as Harbor does.
func (x *exchange) redirectToLibrary(p project) bool {
	if p.proxy == nil || !p.DockerHub || strings.Count(x.to.repository, "/") != 1 {
		return false
	}
	prefix := "/v2/" + p.Name + "/"
	to := *x.r.URL
	to.Path = prefix + "library/" + strings.TrimPrefix(x.r.URL.Path, prefix)
	http.Redirect(x.w, x.r, to.RequestURI(), http.StatusMovedPermanently)
	return true
}
