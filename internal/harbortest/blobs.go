package harbortest

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
)

// serveBlob answers end-2, and DELETE of a blob (end-10).
func (x *exchange) serveBlob(p project) {
	d, ok := x.to.digest()
	switch {
	case x.r.Method == http.MethodDelete:
		x.deleteBlob(p, d)
	case actionOf(x.r.Method) != "pull":
		x.notAllowed("DELETE, GET, HEAD")
	case !ok:
		x.failStorage(http.StatusBadRequest, registryError{
			Code: "DIGEST_INVALID", Message: "provided digest did not match uploaded content", Detail: struct{}{}})
	case x.head() && !x.h.blobKnown(d):
		x.fail(http.StatusNotFound, "NOT_FOUND", fmt.Sprintf("blob %s not found", d))
	case p.proxy == nil || !x.proxyBlob(p, d):
		x.localBlob(p, d)
	}
}

// blobKnown tells whether core's database has the blob, in whatever project: a
// HEAD of any other blob never reaches the storage registry.
func (h *Harbor) blobKnown(d digest.Digest) bool {
	h.mu.Lock()
	projects := maps.Clone(h.projects)
	h.mu.Unlock()
	for _, p := range projects {
		if p.content.holds(d) {
			return true
		}
	}
	return false
}

// localBlob serves a blob from the storage registry.
func (x *exchange) localBlob(p project, d digest.Digest) {
	if x.storageDown() {
		return
	}
	content, ok := p.content.blob(x.to.repository, d)
	if !ok {
		x.blobUnknown(d)
		return
	}
	if x.redirect(x.to.repository + "/blobs/" + d.String()) {
		return
	}
	header := http.Header{
		"Cache-Control":                   {"max-age=31536000"},
		"Docker-Content-Digest":           {d.String()},
		"Docker-Distribution-Api-Version": {"registry/2.0"},
		"Etag":                            {`"` + d.String() + `"`},
	}
	maps.Copy(x.w.Header(), header)
	x.w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(&blobWriter{x.w, header}, x.r, "", time.Time{}, bytes.NewReader(content))
}

func (x *exchange) blobUnknown(d digest.Digest) {
	x.failStorage(http.StatusNotFound, registryError{Code: "BLOB_UNKNOWN", Message: "blob unknown to registry", Detail: d.String()})
}

func (x *exchange) deleteBlob(p project, d digest.Digest) {
	if x.storageDown() {
		return
	}
	if err := p.content.deleteBlob(x.to.repository, d); err != nil {
		x.blobUnknown(d)
		return
	}
	x.w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	x.w.Header().Set("Content-Length", "0")
	x.w.WriteHeader(http.StatusAccepted)
}

// blobWriter keeps on a 416 the headers that http.ServeContent takes away and
// the storage registry, built with an older Go, sends.
type blobWriter struct {
	http.ResponseWriter
	header http.Header
}

func (w *blobWriter) WriteHeader(status int) {
	if status == http.StatusRequestedRangeNotSatisfiable {
		maps.Copy(w.Header(), w.header)
	}
	w.ResponseWriter.WriteHeader(status)
}
