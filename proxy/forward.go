package proxy

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"

	"breakwater/proxy/registry"
)

// headerBudget is what token, queue, retries, redirects and all that is read
// before our own header may take together. Docker gives a mirror's ping 15 s, the
// shortest patience of all clients.
const headerBudget = 12 * time.Second

// errLate is the cause of a question that was given up.
var errLate = fmt.Errorf("upstream gave no answer within %s, for token, queue, retries and redirects together", headerBudget)

// maxRanges is the most parts of one Range header that are asked for; a client
// that wants more gets the whole blob (RFC 9110 §14.2 allows a server to ignore
// Range). podman's partial pulls ask for up to 1,024.
const maxRanges = 1024

// forward puts the request to upstream and the answer to the client.
func (x *exchange) forward() {
	x.asked = true
	(&httputil.ReverseProxy{
		Rewrite:        x.rewrite,
		Transport:      x,
		ModifyResponse: x.answer,
		ErrorHandler:   func(_ http.ResponseWriter, _ *http.Request, err error) { x.refuse(err) },
		BufferPool:     &x.buffers,
		ErrorLog:       x.bodyFaults,
	}).ServeHTTP(x.w, x.r)
}

// rewrite builds upstream's request from the parsed value. Of the client's own
// headers only Range passes: Authorization, Cookie, tracing and forwarding
// headers are nobody's business upstream, and a condition is judged here.
func (x *exchange) rewrite(pr *httputil.ProxyRequest) {
	target := *x.Upstream.URL()
	asked := x.request.URL()
	target.Path, target.RawPath, target.RawQuery = asked.Path, "", asked.RawQuery

	header := http.Header{
		"Accept-Encoding": {"identity"}, // digests are of the bytes as stored
		"User-Agent":      {x.UserAgent},
	}
	switch x.request.Kind {
	case registry.KindManifest:
		header.Set("Accept", registry.ManifestTypes)
	case registry.KindReferrers:
		header.Set("Accept", registry.TypeOCIIndex)
	case registry.KindBlob:
		if x.matches(etag(x.request.Digest)) {
			pr.Out.Method = http.MethodHead // the client has the bytes, and asks whether it may keep them
		}
		if ranges, ok := x.ranges(); ok {
			header.Set("Range", ranges)
		}
	}
	pr.Out.URL, pr.Out.Host, pr.Out.Header = &target, "", header
	pr.Out.Body, pr.Out.ContentLength, pr.Out.TransferEncoding = http.NoBody, 0, nil
}

// ranges is the client's Range where it applies: not where If-None-Match says
// that the client has the blob (RFC 9110 §13.2.2), and with no If-Range, or with
// one that names this very blob (§13.1.5).
func (x *exchange) ranges() (string, bool) {
	asked := x.r.Header.Get("Range")
	if x.r.Method != http.MethodGet || x.matches(etag(x.request.Digest)) || !strings.HasPrefix(asked, "bytes=") || strings.Count(asked, ",") >= maxRanges {
		return "", false
	}
	if condition := x.r.Header.Get("If-Range"); condition != "" && condition != etag(x.request.Digest) {
		return "", false
	}
	return asked, true
}

// RoundTrip implements [http.RoundTripper]: upstream's answer, with the time
// that its headers took.
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	began := time.Now()
	ctx, cancel := context.WithCancelCause(req.Context())
	x.cancel = cancel
	x.budget = time.AfterFunc(headerBudget, func() { cancel(errLate) })
	req = req.WithContext(ctx)
	resp, err := x.Upstream.Reading(x.request).RoundTrip(req)
	if err == nil && req.Method == http.MethodHead && x.headTellsTooLittle(resp) {
		resp, err = x.getInstead(req, resp)
	}
	x.upstreamTook = time.Since(began)
	if err == nil {
		x.upstreamStatus, x.upstreamRequest = resp.StatusCode, shorten(resp.Header.Get("X-Request-Id"))
	}
	return resp, err
}

// headTellsTooLittle recognises the answers to a HEAD that a GET would not get.
// Harbor says 405 for lists, and 404 for referrers and for a blob that its
// proxy-cache project has not stored yet; others leave out a tag's digest.
func (x *exchange) headTellsTooLittle(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMethodNotAllowed:
		return true
	case http.StatusNotFound:
		return x.request.Kind == registry.KindBlob || x.request.Kind == registry.KindReferrers
	case http.StatusOK:
		return x.request.Kind == registry.KindManifest && x.request.Digest == "" && resp.Header.Get("Docker-Content-Digest") == ""
	}
	return false
}

func (x *exchange) getInstead(req *http.Request, head *http.Response) (*http.Response, error) {
	_ = head.Body.Close()
	get := req.Clone(req.Context())
	get.Method = http.MethodGet
	return x.Upstream.Reading(x.request).RoundTrip(get)
}
