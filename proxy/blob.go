package proxy

import (
	"errors"
	"net/http"
	"regexp"
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
	case resp.StatusCode == http.StatusPartialContent:
		if err := x.partial(resp, h); err != nil {
			return err
		}
	case x.r.Method == http.MethodGet:
		if err := x.whole(resp); err != nil {
			return err
		}
	}
	x.notModified(resp, h)
	return nil
}

// rangeAsked tells whether upstream was asked for a part of a blob.
func (x *exchange) rangeAsked() bool {
	_, asked := x.ranges()
	return asked && x.request.Kind == registry.KindBlob
}

// oneRange is a satisfied Content-Range (RFC 9110 §14.4).
var oneRange = regexp.MustCompile(`^bytes \d+-\d+/(?:\d+|\*)$`)

// partial hands on a 206 (RFC 9110 §15.3.7) as it is: some of a blob's bytes
// cannot be verified.
func (x *exchange) partial(resp *http.Response, h http.Header) error {
	if !x.rangeAsked() {
		return x.badAnswer(resp, "a part of the blob, though no range was asked for")
	}
	if mediaType := resp.Header.Get("Content-Type"); strings.HasPrefix(mediaType, "multipart/byteranges") {
		h.Set("Content-Type", mediaType)
		return nil
	}
	contentRange := resp.Header.Get("Content-Range")
	if !oneRange.MatchString(contentRange) {
		return x.badAnswer(resp, "%.60q as a Content-Range", contentRange)
	}
	h.Set("Content-Range", contentRange)
	return nil
}

// whole has the blob hashed on its way. A small one is verified before the
// header goes out, so that its client gets a plain 502 where it is wrong.
func (x *exchange) whole(resp *http.Response) error {
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
