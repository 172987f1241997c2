package proxy

import (
	"errors"
	"mime"
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
	case x.matches(h.Get("Etag")):
		x.notModified(resp, h)
	case resp.ContentLength < 0 && !x.r.ProtoAtLeast(1, 1):
		return registry.Errorf(http.StatusHTTPVersionNotSupported, registry.CodeUnsupported,
			"upstream does not say how long this blob is: ask by HTTP/1.1, in which an end can be told from a break")
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

var (
	// oneRange is a satisfied Content-Range (RFC 9110 §14.4), askedRange a Range of
	// one part that is counted from the beginning (§14.1.2), boundary that of a
	// multipart body (RFC 2046 §5.1.1) as far as it needs no quotes.
	oneRange   = regexp.MustCompile(`^bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)$`)
	askedRange = regexp.MustCompile(`^bytes=(\d{1,18})-(\d{0,18})$`)
	boundary   = regexp.MustCompile(`^[0-9A-Za-z'_.-]{1,70}$`)
)

// partial hands on a 206 (RFC 9110 §15.3.7) that is of the form that was asked
// for. What it holds cannot be verified: some of a blob's bytes have no digest.
func (x *exchange) partial(resp *http.Response, h http.Header) error {
	asked, ok := x.ranges()
	if !ok {
		return x.badAnswer(resp, "a part of the blob, though no range was asked for")
	}
	mediaType, parameters, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err == nil && mediaType == "multipart/byteranges" && strings.Contains(asked, ",") && boundary.MatchString(parameters["boundary"]) {
		h.Set("Content-Type", mediaType+"; boundary="+parameters["boundary"])
		return nil
	}
	said := resp.Header.Get("Content-Range")
	if !answers(said, asked, resp.ContentLength) {
		return x.badAnswer(resp, "%.60q as a Content-Range, %d bytes, for %.60q", said, resp.ContentLength, asked)
	}
	h.Set("Content-Range", said)
	return nil
}

// answers tells whether a Content-Range can be the answer to a Range, with a body
// of that length (-1: not known).
func answers(said, asked string, length int64) bool {
	part := oneRange.FindStringSubmatch(said)
	if part == nil {
		return false
	}
	number := func(s string) int64 { n, _ := strconv.ParseInt(s, 10, 64); return n } // digits, by the grammar above
	first, last := number(part[1]), number(part[2])
	if last < first || part[3] != "*" && last >= number(part[3]) || length >= 0 && length != last-first+1 {
		return false
	}
	wanted := askedRange.FindStringSubmatch(asked)
	return wanted == nil || number(wanted[1]) == first && (wanted[2] == "" || last <= number(wanted[2]))
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
