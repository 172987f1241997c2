package proxy

import (
	"net/http"
	"net/http/httputil"
)

// forward puts the request to upstream and the answer to the client.
func (x *exchange) forward() {
	x.found.how = cacheBypass
	(&httputil.ReverseProxy{
		Rewrite:        x.rewrite,
		Transport:      x,
		ModifyResponse: x.answer,
		ErrorHandler:   func(_ http.ResponseWriter, _ *http.Request, err error) { x.refuse(err) },
		BufferPool:     &x.buffers,
		ErrorLog:       x.bodyFaults,
	}).ServeHTTP(x.w, x.r.WithContext(x.ctx))
}

// rewrite builds upstream's request from the parsed value.
func (x *exchange) rewrite(pr *httputil.ProxyRequest) { x.outgoing(pr.Out, x.request) }

// RoundTrip implements [http.RoundTripper].
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, did, err := x.send(req, x.request)
	x.note(did)
	return resp, whyOf(x.ctx, err)
}
