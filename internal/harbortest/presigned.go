package harbortest

import (
	"bytes"
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

const amzTime = "20060102T150405Z"

// ObjectStorage is where Harbor's storage registry redirects to when it keeps
// blobs in an S3-like service: another host, whose presigned URLs are secrets
// and expire. As such a service does, it refuses a request that brings
// credentials of its own beside the signature. [Harbor.Start] puts it on a
// listener beside the Harbor.
func (h *Harbor) ObjectStorage() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.observed(w, r, h.serveObject) })
}

// presign makes the URL of a blob, given as repository/blobs/digest, which is
// good for one method and for a limited time.
func (h *Harbor) presign(f *Fault, name, method string) string {
	now := time.Now().UTC().Format(amzTime)
	expires := strconv.Itoa(int(cmp.Or(f.Expires, 20*time.Minute) / time.Second))
	path := "/harbor/" + name
	signature := h.signature(method, path, now, expires)
	h.mu.Lock()
	h.keepSecret(signature)
	h.mu.Unlock()
	query := url.Values{
		"X-Amz-Algorithm": {"AWS4-HMAC-SHA256"}, "X-Amz-Credential": {"stand-in"},
		"X-Amz-Date": {now}, "X-Amz-Expires": {expires}, "X-Amz-Signature": {signature},
	}
	return strings.TrimSuffix(f.RedirectTo, "/") + path + "?" + query.Encode()
}

func (h *Harbor) signature(method, path, date, expires string) string {
	mac := hmac.New(sha256.New, h.cookieKey[:])
	fmt.Fprintf(mac, "%s\n%s\n%s\n%s", method, path, date, expires)
	return hex.EncodeToString(mac.Sum(nil))
}

// serveObject answers a presigned URL.
func (h *Harbor) serveObject(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	date, expires := query.Get("X-Amz-Date"), query.Get("X-Amz-Expires")
	signed, err := time.Parse(amzTime, date)
	seconds, err2 := strconv.Atoi(expires)
	switch {
	case r.Header.Get("Authorization") != "":
		objectError(w, http.StatusBadRequest, "InvalidArgument", "Only one auth mechanism allowed")
	case err != nil || err2 != nil || !hmac.Equal([]byte(query.Get("X-Amz-Signature")), []byte(h.signature(r.Method, r.URL.Path, date, expires))):
		objectError(w, http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
	case time.Since(signed) > time.Duration(seconds)*time.Second:
		objectError(w, http.StatusForbidden, "AccessDenied", "Request has expired")
	default:
		h.serveSigned(w, r)
	}
}

func (h *Harbor) serveSigned(w http.ResponseWriter, r *http.Request) {
	repository, d, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/harbor/"), "/blobs/")
	g, err := h.Content(repository)
	if err != nil {
		objectError(w, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
		return
	}
	content, ok := g.blob(repository, digest.Digest(d))
	if !ok {
		objectError(w, http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Etag", fmt.Sprintf(`"%x"`, sha256.Sum256(content[:min(len(content), 1024)]))) // not the digest
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

func objectError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	write(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n<Error><Code>"+code+"</Code><Message>"+message+"</Message></Error>")
}
