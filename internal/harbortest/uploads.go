package harbortest

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
)

// startUpload answers end-4a and a mount (end-11). A digest in the query does
// not make it end-4b: Harbor begins an upload all the same.
func (x *exchange) startUpload(p project) {
	switch {
	case x.storageDown():
		return
	case !strings.HasSuffix(x.r.URL.Path, "/"):
		x.stored(x.r.URL.Path+"/", "")
		x.w.WriteHeader(http.StatusMovedPermanently)
		return
	case x.r.Method != http.MethodPost:
		x.notAllowed(http.MethodPost)
		return
	case x.mount(p):
		return
	}
	id := newUUID()
	x.h.mu.Lock()
	x.h.uploads[id] = x.to.repository
	x.h.mu.Unlock()
	x.to.reference = id
	if w, ok := x.upload(p, 0); ok {
		x.answerUpload(w, http.StatusAccepted)
	}
}

// mount makes a blob of another repository available in this one.
func (x *exchange) mount(p project) bool {
	from := x.mountFrom()
	if from == "" {
		return false
	}
	g, err := x.h.Content(from)
	if err != nil {
		return false
	}
	d := digest.Digest(x.r.URL.Query().Get("mount"))
	content, ok := g.blob(from, d)
	if !ok {
		return false
	}
	if _, err := p.content.PushBlob(x.to.repository, content); err != nil {
		return false
	}
	x.answerStored("blobs", d)
	return true
}

// serveUpload answers end-5, end-6, end-13 and the cancelling of an upload.
func (x *exchange) serveUpload(p project) {
	if x.storageDown() {
		return
	}
	switch x.r.Method {
	case http.MethodGet, http.MethodHead:
		if w, ok := x.upload(p, -1); ok {
			x.answerUpload(w, http.StatusNoContent)
		}
	case http.MethodPatch:
		if w, ok := x.receive(p); ok {
			x.answerUpload(w, http.StatusAccepted)
		}
	case http.MethodPut:
		x.finishUpload(p)
	case http.MethodDelete:
		x.cancelUpload(p)
	default:
		x.notAllowed("DELETE, GET, HEAD, PATCH, PUT")
	}
}

// upload opens the upload of the request's path at an offset, -1 for its end.
func (x *exchange) upload(p project, offset int64) (ociregistry.BlobWriter, bool) {
	x.h.mu.Lock()
	repository := x.h.uploads[x.to.reference]
	x.h.mu.Unlock()
	if repository != x.to.repository {
		x.failStorage(http.StatusNotFound, registryError{Code: "BLOB_UPLOAD_INVALID", Message: "blob upload invalid", Detail: struct{}{}})
		return nil, false
	}
	w, err := p.content.content.PushBlobChunkedResume(context.Background(), repository, x.to.reference, offset, 0)
	if err != nil {
		x.failStorage(http.StatusBadRequest, registryError{Code: "NAME_INVALID", Message: err.Error()})
		return nil, false
	}
	return w, true
}

// receive appends the request's body to the upload.
func (x *exchange) receive(p project) (ociregistry.BlobWriter, bool) {
	offset := int64(-1)
	if begin, _, ok := strings.Cut(x.r.Header.Get("Content-Range"), "-"); ok {
		n, err := strconv.ParseInt(begin, 10, 64)
		if err != nil {
			x.failStorage(http.StatusRequestedRangeNotSatisfiable, registryError{Code: "RANGE_INVALID", Message: "invalid content range"})
			return nil, false
		}
		offset = n
	}
	w, ok := x.upload(p, offset)
	if !ok {
		return nil, false
	}
	if _, err := io.Copy(w, x.r.Body); errors.Is(err, ociregistry.ErrRangeInvalid) {
		x.failStorage(http.StatusRequestedRangeNotSatisfiable, registryError{Code: "RANGE_INVALID", Message: "invalid content range"})
		return nil, false
	} else if err != nil {
		x.failStorage(http.StatusBadRequest, registryError{Code: "BLOB_UPLOAD_INVALID", Message: "blob upload invalid", Detail: struct{}{}})
		return nil, false
	}
	return w, true
}

func (x *exchange) finishUpload(p project) {
	w, ok := x.receive(p)
	if !ok {
		return
	}
	d := digest.Digest(x.r.URL.Query().Get("digest"))
	if _, err := w.Commit(d); err != nil {
		x.failStorage(http.StatusBadRequest, registryError{
			Code: "DIGEST_INVALID", Message: "provided digest did not match uploaded content",
			Detail: map[string]any{"Digest": d, "Reason": struct{}{}},
		})
		return
	}
	x.forgetUpload()
	x.answerStored("blobs", d)
}

func (x *exchange) cancelUpload(p project) {
	w, ok := x.upload(p, -1)
	if !ok {
		return
	}
	if err := w.Cancel(); err != nil {
		http.Error(x.w, err.Error(), http.StatusInternalServerError)
		return
	}
	x.forgetUpload()
	x.w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	x.w.Header().Set("Docker-Upload-Uuid", x.to.reference)
	x.w.WriteHeader(http.StatusNoContent)
}

func (x *exchange) forgetUpload() {
	x.h.mu.Lock()
	defer x.h.mu.Unlock()
	delete(x.h.uploads, x.to.reference)
}

// answerUpload tells where the upload goes on and how much of it has arrived.
// The state in the Location is a secret: it stands for the upload.
func (x *exchange) answerUpload(w ociregistry.BlobWriter, status int) {
	secret := make([]byte, 96)
	randomBytes(secret)
	state := base64.RawURLEncoding.EncodeToString(secret)
	x.h.mu.Lock()
	x.h.keepSecret(state)
	x.h.mu.Unlock()
	x.stored(x.self()+"/v2/"+x.to.repository+"/blobs/uploads/"+x.to.reference+"?_state="+state, "")
	x.w.Header().Set("Docker-Upload-Uuid", x.to.reference)
	x.w.Header().Set("Range", fmt.Sprintf("0-%d", max(w.Size()-1, 0)))
	if status == http.StatusNoContent {
		x.w.Header().Del("Content-Length")
	}
	x.w.WriteHeader(status)
}

// answerStored answers 201 for a blob or manifest that is now there.
func (x *exchange) answerStored(what string, d digest.Digest) {
	x.stored(x.self()+"/v2/"+x.to.repository+"/"+what+"/"+d.String(), d)
	x.w.WriteHeader(http.StatusCreated)
}

// stored sets the headers of an answer with a Location and no body.
func (x *exchange) stored(location string, d digest.Digest) {
	x.w.Header().Set("Location", location)
	x.w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	x.w.Header().Set("Content-Length", "0")
	if d != "" {
		x.w.Header().Set("Docker-Content-Digest", d.String())
	}
}

// self is the URL that a Location begins with: unlike a realm it follows
// Forwarded (RFC 7239), or else X-Forwarded-Proto and X-Forwarded-Host.
func (x *exchange) self() string {
	proto, host := "http", x.r.Host
	if x.r.TLS != nil {
		proto = "https"
	}
	if forwarded := x.r.Header.Get("Forwarded"); forwarded != "" {
		for pair := range strings.SplitSeq(forwarded, ";") {
			switch name, value, _ := strings.Cut(strings.TrimSpace(pair), "="); strings.ToLower(name) {
			case "proto":
				proto = value
			case "host":
				host = value
			}
		}
		return proto + "://" + host
	}
	if v := x.r.Header.Get("X-Forwarded-Proto"); v != "" {
		proto = v
	}
	if v := x.r.Header.Get("X-Forwarded-Host"); v != "" {
		host = v
	}
	return proto + "://" + host
}
