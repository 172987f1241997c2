package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"regexp"
	"time"

	"breakwater/proxy/registry"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// exchange is one request with its answer (RFC 9110 §3.4), and what is known of
// it so far.
type exchange struct {
	*Proxy
	w  *response
	r  *http.Request
	id string

	request registry.Request
	began   time.Time

	// Of the question to upstream.
	asked           bool
	cancel          context.CancelCauseFunc // ends it
	budget          *time.Timer             // does so when no answer goes out in time
	upstreamTook    time.Duration           // until the headers were there
	upstreamStatus  int                     // 0 when there were none
	upstreamRequest string                  // Harbor's own X-Request-Id, to be found in its logs

	held  int64 // bytes of documents to be given back
	cause error // why the answer is not the one asked for
}

// statusClientLeft is written to the log and counted, never sent: the client
// went away before it got an answer.
const statusClientLeft = 499

// bodyPatience bounds how long a client may take to send a body that nobody
// asked for.
const bodyPatience = 10 * time.Second

var requestID = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,64}$`)

func (p *Proxy) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{Proxy: p, r: r, began: time.Now(), id: r.Header.Get("X-Request-Id")}
	if !requestID.MatchString(x.id) {
		x.id = rand.Text()
	}
	x.w = newResponse(w, x.id)
	if r.ContentLength != 0 {
		// Nothing here reads a body, but net/http reads a rest of it before the
		// next request: not for ever, and not on this connection.
		_ = x.w.control.SetReadDeadline(x.began.Add(bodyPatience)) // not supported by a test's recorder
		x.w.last = true
	}
	p.Events.RequestBegan()
	return x
}

// end counts the request and writes its line.
func (x *exchange) end() {
	x.w.patience()
	if x.cancel != nil {
		x.budget.Stop()
		x.cancel(context.Canceled)
	}
	x.documents.Release(x.held)
	if x.cause == nil && x.w.err != nil {
		x.cause = errClientLeft
	}
	served := Served{
		Kind: x.request.Kind.String(), Method: method(x.r.Method), Status: x.status(),
		Cache: x.cacheResult(), Bytes: x.w.bytes, Took: time.Since(x.began),
	}
	if x.asked {
		served.Route = x.Upstream.Name()
	}
	x.Events.RequestServed(served)
	if line := x.Log.Check(x.level(served.Status), "request"); line != nil {
		line.Write(x.fields(served)...)
	}
}

// status is what the client was told, or why it was told nothing.
func (x *exchange) status() int {
	switch {
	case x.w.status != 0:
		return x.w.status
	case x.clientLeft():
		return statusClientLeft
	}
	return http.StatusInternalServerError // a panic; net/http logs it and cuts the connection
}

// level is warn when upstream failed us, before or in the middle of an answer.
func (x *exchange) level(status int) zapcore.Level {
	cut := status < http.StatusBadRequest && x.cause != nil && x.cause != errClientLeft
	if cut || status >= http.StatusInternalServerError {
		return zapcore.WarnLevel
	}
	return zapcore.InfoLevel
}

func (x *exchange) fields(served Served) []zap.Field {
	fields := []zap.Field{
		zap.String("request_id", x.id), zap.String("client", clientAddress(x.r)),
		zap.String("method", served.Method), zap.String("kind", served.Kind),
		zap.String("repository", x.request.Name), zap.String("reference", x.request.Reference()),
		zap.Int("status", served.Status), zap.Int64("bytes", served.Bytes),
		zap.String("cache", served.Cache), zap.Duration("took", served.Took),
		zap.String("user_agent", shorten(x.r.UserAgent())),
	}
	if x.asked {
		fields = append(fields, zap.String("upstream", served.Route), zap.Duration("upstream_took", x.upstreamTook),
			zap.Int("upstream_status", x.upstreamStatus), zap.String("upstream_request_id", x.upstreamRequest))
	}
	if x.cause != nil {
		fields = append(fields, zap.String("error", x.cause.Error()))
	}
	return fields
}

// cacheResult is the word that log, metric and Cache-Status share.
func (x *exchange) cacheResult() string {
	if x.asked {
		return "bypass"
	}
	return "none"
}

// cacheStatus is the header of RFC 9211: forwarded because there is no cache
// that could answer.
func (x *exchange) cacheStatus(h http.Header) {
	if x.asked {
		h.Set("Cache-Status", "breakwater; fwd=bypass"+fwdStatus(x.upstreamStatus))
	}
}

// failed remembers why the answer is not the one asked for, and counts wrong
// content, whether it was found before the header or in the middle of the body.
func (x *exchange) failed(err error) {
	var mismatch mismatchError
	if errors.As(err, &mismatch) {
		x.Events.DigestMismatch(x.Upstream.Name(), x.request.Kind.String())
	}
	x.cause = err
	if x.clientLeft() {
		x.cause = errClientLeft
	}
}

var errClientLeft = errors.New("the client left before its answer was complete")

func (x *exchange) clientLeft() bool { return x.r.Context().Err() != nil }

// method is the closed set of methods that a metric or a log line may name.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
		http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr // a test's, or a Unix socket's
	}
	return host
}

// shorten keeps a client's own words from filling the log.
func shorten(s string) string {
	const most = 120
	if len(s) > most {
		return s[:most]
	}
	return s
}
