package proxy

import (
	"context"
	"io"
	"net/http"

	"breakwater/proxy/registry"

	"github.com/opencontainers/go-digest"
)

// answer turns upstream's answer to what is forwarded into the client's
// (ReverseProxy's ModifyResponse). The header is built anew: what is not set here
// does not go out, Set-Cookie and Www-Authenticate above all. An error goes to
// refuse.
func (x *exchange) answer(resp *http.Response) error {
	if err := x.usable(x.request, resp); err != nil {
		return err
	}
	header := http.Header{"X-Content-Type-Options": {"nosniff"}}
	x.cacheStatus(header)
	if err := x.list(resp, header); err != nil {
		return err
	}
	resp.Header = header
	if x.r.Method == http.MethodHead {
		_ = resp.Body.Close() // there is one when a GET was sent instead
		resp.Body = http.NoBody
	}
	return nil
}

// serve answers with content, whose header fields are set. An error that comes
// after the header cuts the connection: the client must not take what it has for
// the whole.
func (x *exchange) serve(c Content) error {
	err := serveContent(x.w, x.r.WithContext(x.ctx), c, x.request.Kind == registry.KindBlob)
	if err != nil && x.w.status != 0 {
		x.failed(whyOf(x.ctx, err))
		panic(http.ErrAbortHandler)
	}
	return err
}

// known is content of which only the size is known: a HEAD or a 304 needs no more.
type known int64

// Size implements [Content].
func (k known) Size() int64 { return int64(k) }

// Held implements [Content].
func (k known) Held() bool { return false }

// Section implements [Content]; it is there for methods that never read.
func (k known) Section(context.Context, int64, int64, bool) io.ReadCloser {
	return http.NoBody
}

// content sets the header fields of a manifest or blob, which is named by its
// digest. The strong ETag of RFC 9110 §8.8.3 is the digest as well.
func content(h http.Header, d digest.Digest, mediaType string) {
	h.Set("Content-Type", mediaType)
	h.Set("Docker-Content-Digest", d.String())
	h.Set("Etag", etag(d))
}

func etag(d digest.Digest) string { return `"` + d.String() + `"` }

// matches tells whether the client's If-None-Match names what it would get.
func (x *exchange) matches(current string) bool {
	return namesTag(x.r.Header.Values("If-None-Match"), current, "W/")
}
