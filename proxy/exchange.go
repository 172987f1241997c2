package proxy

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/http"
	"regexp"
	"time"

	"breakwater/blobcache/index"
	"breakwater/proxy/access"
	"breakwater/proxy/registry"
	"breakwater/proxy/route"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// exchange is one request with its answer (RFC 9110 §3.4), and what is known of
// it so far.
type exchange struct {
	*Proxy
	*origin // nil until the request's is found
	w       *response
	r       *http.Request
	id      string

	gate    *access.Gate // of the listener
	usual   string       // the route that is meant there where none is named
	client  access.Client
	proven  bool             // that client is who it says: in some modes known only once it may pull, or may not
	leave   func()           // gives back the client's share of what may be under way; nil until it has one
	written registry.Request // as the client wrote it
	route   route.Route
	request registry.Request // as upstream knows it, once the route is found
	began   time.Time

	// ctx is the request's; it ends with errLate when no header goes out in time.
	ctx    context.Context
	cancel context.CancelCauseFunc
	budget *time.Timer

	found found
	asked asked // upstream, if method is set
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

func (p *Proxy) begin(gate *access.Gate, usual string, w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{Proxy: p, gate: gate, usual: usual, r: r, began: time.Now(), id: r.Header.Get("X-Request-Id")}
	if !requestID.MatchString(x.id) {
		x.id = rand.Text()
	}
	x.ctx, x.cancel = context.WithCancelCause(r.Context())
	x.budget = time.AfterFunc(headerBudget, func() { x.cancel(errLate) })
	x.w = newResponse(w, x.id, x.budget)
	x.w.Header().Set("Via", p.ownHop())
	if gate.Authenticates() {
		x.w.Header().Set("Cache-Control", "private") // RFC 9111 §5.2.2.7: for this client only
	}
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
	x.budget.Stop()
	x.cancel(context.Canceled)
	x.documents.Release(x.held)
	if x.leave != nil {
		x.leave()
	}
	if x.cause == nil && x.w.err != nil {
		x.cause = errClientLeft
	}
	served := Served{
		Kind: x.request.Kind.String(), Method: method(x.r.Method), Status: x.status(),
		Cache: x.found.word(), Bytes: x.w.bytes, Took: time.Since(x.began),
	}
	if x.found.how != "" {
		served.Route = x.route.Name
	}
	x.Events.RequestServed(served)
	level, message := x.level(served.Status), "request"
	if x.turnedAway() != "" {
		level, message = zapcore.WarnLevel, "refused" // to be found by an audit, whatever else is logged
	}
	if line := x.Log.Check(level, message); line != nil {
		line.Write(x.fields(served)...)
	}
}

// turnedAway is why the gate turned the client away. A first question without
// credentials is no refusal: each pull of some clients begins with one.
func (x *exchange) turnedAway() access.Why {
	var refusal *access.Refusal
	if errors.As(x.cause, &refusal) && refusal.Why != access.NoCredentials {
		return refusal.Why
	}
	return ""
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
		zap.String("request_id", x.id), zap.String("listener", x.gate.Listener), zap.String("client", clientAddress(x.r)),
		zap.String("method", served.Method), zap.String("kind", served.Kind),
		zap.String("repository", x.request.Name), zap.String("reference", x.request.Reference()),
		zap.Int("status", served.Status), zap.Int64("bytes", served.Bytes),
		zap.String("cache", served.Cache), zap.Duration("took", served.Took),
		zap.String("user_agent", shorten(x.r.UserAgent())),
	}
	if x.proven && x.client.Subject != "" {
		fields = append(fields, zap.String("subject", shorten(x.client.Subject)))
	}
	if x.origin != nil {
		fields = append(fields, zap.String("route", x.route.Name))
	}
	if x.written.Name != x.request.Name {
		fields = append(fields, zap.String("name", x.written.Name))
	}
	if why := x.turnedAway(); why != "" {
		fields = append(fields, zap.String("refused", string(why)))
	}
	if x.asked.method != "" {
		fields = append(fields, zap.String("upstream", x.Upstream.Name()), zap.Duration("upstream_took", x.asked.took),
			zap.Int("upstream_status", x.asked.status), zap.String("upstream_request_id", x.asked.requestID))
	}
	if x.found.how == cacheStale {
		fields = append(fields, zap.Duration("stale", x.found.age), zap.NamedError("stale_because", reason(x.found.why)))
	}
	if x.cause != nil {
		fields = append(fields, zap.String("error", x.cause.Error()))
	}
	return fields
}

// reason is an error without what a client would have been told.
func reason(err error) error {
	var refusal *registry.Error
	if errors.As(err, &refusal) && refusal.Cause != nil {
		return refusal.Cause
	}
	return err
}

// note keeps what a question to upstream came to.
func (x *exchange) note(did asked) {
	if did.method != "" {
		x.asked = did
	}
}

func (x *exchange) repository() index.Repository {
	return index.Repository{Origin: x.key, Name: x.request.Name}
}

// failed remembers why the answer is not the one asked for, whether that was found
// before the header or in the middle of the body.
func (x *exchange) failed(err error) {
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
