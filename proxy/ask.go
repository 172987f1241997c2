package proxy

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"breakwater/proxy/registry"
)

// headerBudget is what token, queue, retries, redirects and all that is read
// before our own header may take together. Docker gives a mirror's ping 15 s, the
// shortest patience of all clients.
const headerBudget = 12 * time.Second

// errLate is the cause of a question that was given up.
var errLate = errors.New("upstream gave no answer within " + headerBudget.String() + ", for token, queue, retries and redirects together")

// asked is what one question to upstream came to, for log and Cache-Status.
type asked struct {
	method    string
	status    int    // 0: no answer
	requestID string // Harbor's own X-Request-Id, to be found in its logs
	took      time.Duration
	levels    string // of Cache-Status, where a Breakwater gave what was asked for
}

// ask puts one read to upstream. What comes back is a 200 or 206 with the bytes as
// they are stored; everything else is an error. Whatever the answer, asked tells of
// it. ctx covers the body too.
func (o *origin) ask(ctx context.Context, method string, request registry.Request, extra ...[2]string) (*http.Response, asked, error) {
	req := (&http.Request{Method: method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(ctx)
	o.outgoing(req, request)
	for _, field := range extra {
		req.Header.Set(field[0], field[1])
	}
	resp, did, err := o.send(req, request)
	if err != nil {
		return nil, did, o.refusal(request, whyOf(ctx, err))
	}
	if err := o.usable(request, resp); err != nil {
		_ = resp.Body.Close()
		return nil, did, err
	}
	return resp, did, nil
}

// send sends a read, and a GET in place of a HEAD that was not answered as the GET
// would be. asked.method is the one that counted.
func (o *origin) send(req *http.Request, request registry.Request) (*http.Response, asked, error) {
	did := asked{method: req.Method}
	began := time.Now()
	resp, err := o.Upstream.Reading(request).RoundTrip(req)
	if err == nil && req.Method == http.MethodHead && headTellsTooLittle(request, resp) {
		_ = resp.Body.Close()
		get := req.Clone(req.Context())
		get.Method, did.method = http.MethodGet, http.MethodGet
		resp, err = o.Upstream.Reading(request).RoundTrip(get)
	}
	did.took = time.Since(began)
	if err == nil {
		if levelOf(resp) != "" {
			o.level.Store(true)
		}
		did.status, did.requestID, did.levels = resp.StatusCode, shorten(resp.Header.Get("X-Request-Id")), levelsOf(resp)
	}
	return resp, did, err
}

// headTellsTooLittle recognises the answers to a HEAD that a GET would not get, or
// not without a reason. Harbor says 405 for lists, 404 for what its proxy-cache
// project has not stored yet, and 412 where a policy forbids a manifest; others
// leave out a tag's digest.
func headTellsTooLittle(request registry.Request, resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMethodNotAllowed, http.StatusPreconditionFailed:
		return true
	case http.StatusNotFound:
		return request.Kind == registry.KindBlob || request.Kind == registry.KindReferrers
	case http.StatusOK:
		return request.Kind == registry.KindManifest && request.Digest == "" && resp.Header.Get("Docker-Content-Digest") == ""
	}
	return false
}

// outgoing makes req the question that the parsed value is. Nothing of a client's
// own headers is in it: Authorization, Cookie, tracing and forwarding headers are
// nobody's business upstream, and conditions are judged here.
func (o *origin) outgoing(req *http.Request, request registry.Request) {
	target := *o.Upstream.URL()
	wanted := request.URL()
	target.Path, target.RawPath, target.RawQuery = wanted.Path, "", wanted.RawQuery
	header := http.Header{
		"Accept-Encoding": {"identity"}, // digests are of the bytes as stored
		"User-Agent":      {o.UserAgent},
		"Via":             {o.via(req.Context())},
	}
	switch request.Kind {
	case registry.KindManifest:
		header.Set("Accept", registry.ManifestTypes)
	case registry.KindReferrers:
		header.Set("Accept", registry.TypeOCIIndex)
	}
	req.URL, req.Host, req.Header = &target, "", header
	req.Body, req.ContentLength, req.TransferEncoding = http.NoBody, 0, nil
}

// usable tells whether upstream's answer has what was asked for.
func (o *origin) usable(request registry.Request, resp *http.Response) error {
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusPartialContent {
		return o.refusalOf(request, resp)
	}
	if encoding := strings.Join(resp.Header.Values("Content-Encoding"), ","); encoding != "" && encoding != "identity" {
		return o.badAnswer(request, resp, "content in the encoding %.20q, though identity was asked for", encoding)
	}
	return nil
}

// budgeted runs a question that nobody in particular waits for within the budget.
func budgeted(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, headerBudget, errLate)
}
