package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"breakwater/proxy/registry"

	"github.com/opencontainers/go-digest"
)

// answer turns upstream's answer into the client's (ReverseProxy's
// ModifyResponse). The header is built anew: what is not set here does not go
// out, Set-Cookie and Www-Authenticate above all. An error goes to refuse.
func (x *exchange) answer(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		return x.refusalOf(resp)
	}
	if encoding := strings.Join(resp.Header.Values("Content-Encoding"), ","); encoding != "" && encoding != "identity" {
		return x.badAnswer(resp, "content in the encoding %.20q, though identity was asked for", encoding)
	}
	header := http.Header{"X-Content-Type-Options": {"nosniff"}}
	x.cacheStatus(header)
	var err error
	switch x.request.Kind {
	case registry.KindManifest:
		err = x.manifest(resp, header)
	case registry.KindBlob:
		err = x.blob(resp, header)
	default:
		err = x.list(resp, header)
	}
	if err != nil {
		return err
	}
	if !x.budget.Stop() {
		return errLate // it ran out just now, and the body is lost with it
	}
	resp.Header = header
	if x.r.Method == http.MethodHead {
		_ = resp.Body.Close() // there is one when a GET was sent instead
		resp.Body = http.NoBody
		return nil
	}
	resp.Body = watched{resp.Body, x}
	return nil
}

// watched is a body that tells its exchange why it ended too early.
type watched struct {
	io.ReadCloser
	x *exchange
}

func (b watched) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.x.failed(err)
	}
	return n, err
}

// content sets the header fields of a manifest or blob, which is named by its
// digest. The strong ETag of RFC 9110 §8.8.3 is the digest as well.
func content(h http.Header, d digest.Digest, mediaType string) {
	h.Set("Content-Type", mediaType)
	h.Set("Docker-Content-Digest", d.String())
	h.Set("Etag", etag(d))
}

func etag(d digest.Digest) string { return `"` + d.String() + `"` }

// notModified makes a 304 of an answer.
func (x *exchange) notModified(resp *http.Response, h http.Header) {
	_ = resp.Body.Close()
	resp.Body, resp.ContentLength = http.NoBody, 0
	resp.StatusCode = http.StatusNotModified
	h.Del("Content-Length")
}

// matches tells whether the client's If-None-Match names what it would get (RFC
// 9110 §13.1.2, weak comparison).
func (x *exchange) matches(current string) bool {
	for _, field := range x.r.Header.Values("If-None-Match") {
		for tag := range strings.SplitSeq(field, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			if tag == "*" || tag == current {
				return true
			}
		}
	}
	return false
}

// badAnswer is the refusal of an answer that no registry should have given.
func (x *exchange) badAnswer(resp *http.Response, format string, args ...any) error {
	return registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable,
		"upstream %s answered %d with something that is not the %s asked for", x.Upstream.Name(), resp.StatusCode, x.request.Kind).
		Because(fmt.Errorf(format, args...))
}

// fwdStatus is the parameter of RFC 9211 §2.3.
func fwdStatus(status int) string {
	if status == 0 {
		return ""
	}
	return fmt.Sprintf("; fwd-status=%d", status)
}
