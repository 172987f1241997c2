package proxy

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"breakwater/proxy/registry"
)

// blob answers end-2. Type and digest are ours to say: upstream's storage knows
// neither, and a proxy-cache project guesses the type from the content.
func (x *exchange) blob(resp *http.Response, h http.Header) error {
	content(h, x.request.Digest, "application/octet-stream")
	h.Set("Accept-Ranges", "bytes")
	if resp.ContentLength >= 0 {
		h.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	switch {
	case x.matches(h.Get("Etag")):
		x.notModified(resp, h)
	case resp.StatusCode == http.StatusPartialContent:
		return x.partial(resp, h)
	case x.r.Method == http.MethodGet:
		return x.whole(resp)
	}
	return nil
}

// rangeAsked tells whether upstream was asked for a part of a blob.
func (x *exchange) rangeAsked() bool {
	_, asked := x.ranges()
	return asked && x.request.Kind == registry.KindBlob
}

// partial hands on a 206 (RFC 9110 §15.3.7) that is of the form that was asked
// for. What it holds cannot be verified: some of a blob's bytes have no digest.
func (x *exchange) partial(resp *http.Response, h http.Header) error {
	asked, ok := x.ranges()
	if !ok {
		return x.badAnswer(resp, "a part of the blob, though no range was asked for")
	}
	mediaType, parameters, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err == nil && mediaType == "multipart/byteranges" {
		h.Set("Content-Type", mime.FormatMediaType(mediaType, map[string]string{"boundary": parameters["boundary"]}))
		return nil
	}
	said := resp.Header.Get("Content-Range")
	var first, last, size int64
	if n, err := fmt.Sscanf(said, "bytes %d-%d/%d", &first, &last, &size); n != 3 || err != nil ||
		first < 0 || first > last || last >= size || resp.ContentLength >= 0 && resp.ContentLength != last-first+1 {
		return x.badAnswer(resp, "%.60q as a Content-Range for %d bytes", said, resp.ContentLength)
	}
	var from int64
	if n, _ := fmt.Sscanf(asked, "bytes=%d", &from); n == 1 && from >= 0 && !strings.Contains(asked, ",") && from != first {
		return x.badAnswer(resp, "%.60q as a Content-Range for %.60q", said, asked)
	}
	h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, last, size))
	return nil
}

// whole has the blob hashed on its way. A small one is verified before the
// header goes out, so that its client gets a plain 502 where it is wrong.
func (x *exchange) whole(resp *http.Response) error {
	if resp.ContentLength < 0 && !x.r.ProtoAtLeast(1, 1) {
		return registry.Errorf(http.StatusHTTPVersionNotSupported, registry.CodeUnsupported,
			"upstream does not say how long this blob is: ask by HTTP/1.1, in which an end can be told from a break")
	}
	checked := withhold(resp.Body, x.request.Digest)
	resp.Body = checked
	err := checked.begin()
	var mismatch mismatchError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mismatch):
		return x.badAnswer(resp, "%w", err)
	}
	return registry.Errorf(http.StatusServiceUnavailable, registry.CodeUnavailable,
		"upstream %s broke off at the beginning of the blob: try again", x.Upstream.Name()).Because(err)
}
