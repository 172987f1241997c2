package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"breakwater/blobcache/fill"
	"breakwater/proxy/registry"
	"breakwater/proxy/upstream"
	"breakwater/tokencache"
)

// retryAfter is what clients are told, in seconds, when upstream names no time
// of its own; longest bounds upstream's.
const (
	retryAfter = 5
	longest    = 120
)

// refuse is the one place where an error becomes an answer.
func (x *exchange) refuse(err error) {
	x.failed(err)
	var again *remembered
	switch {
	case errors.As(err, &again):
		x.found.how = cacheHit
	case x.asked.method != "" && x.found.how != cacheBypass:
		x.found.how = cacheMiss
	}
	if x.clientLeft() {
		return // nobody is there to be told
	}
	refusal := x.told(x.refusal(err))
	x.w.takes = refusalPatience
	x.w.patience()
	header := x.w.Header()
	refusal.Header(header)
	if refusal.Status == http.StatusUnauthorized {
		header.Set("Www-Authenticate", x.gate.Challenge()) // RFC 9110 §15.5.2
	}
	tellRefused(header, refusal, err)
	x.cacheStatus(header)
	x.w.WriteHeader(refusal.Status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(refusal.Body()) // the client is told what can be told
	}
}

// refusal finds the registry error for what went wrong, by whatever upstream.
func (x *exchange) refusal(err error) *registry.Error {
	if x.origin != nil {
		return x.origin.refusal(x.request, err)
	}
	var ready *registry.Error
	if errors.As(err, &ready) {
		return ready
	}
	return unavailable(0, "this was not answered in time: try again later").Because(err)
}

// refusal finds the registry error for what went wrong. The chain is broken on
// purpose: the token service's 401 or an address in a network error is for the
// log, not for the client.
func (o *origin) refusal(request registry.Request, err error) *registry.Error {
	var (
		ready       *registry.Error
		grant       *tokencache.NoGrantError
		credential  *tokencache.CredentialError
		realm       *tokencache.RealmError
		unavailable *tokencache.UnavailableError
		redirect    *upstream.RedirectError
		mismatch    *fill.MismatchError
	)
	name := o.Upstream.Name()
	switch {
	case errors.As(err, &ready):
		return ready
	case errors.As(err, &grant):
		return o.denied(request).Because(err)
	case errors.As(err, &credential):
		return o.credentialRefused().Because(err)
	case errors.As(err, &realm):
		return registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable,
			"upstream %s sends Breakwater to a token service that it does not trust: its operator must look at the log", name).Because(err)
	case errors.Is(err, upstream.ErrSwitched):
		return registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable, "upstream %s does not answer as a registry: its operator must look at the log", name).Because(err)
	case errors.As(err, &redirect):
		return registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable,
			"the storage behind upstream %s did not give the blob: its operator must look at the log", name).Because(err)
	case errors.As(err, &unavailable):
		return o.unavailable(int(unavailable.RetryAfter.Seconds())).Because(err)
	case errors.As(err, &mismatch):
		return registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable,
			"upstream %s sent something else than the digest says: nobody got it, and it is asked again later", name).Because(err)
	}
	return o.unavailable(0).Because(err)
}

func (o *origin) unavailable(after int) *registry.Error {
	return unavailable(after, "upstream %s is not available now: try again later", o.Upstream.Name())
}

// unavailable is a 503 with that many seconds of Retry-After.
func unavailable(after int, format string, args ...any) *registry.Error {
	e := registry.Errorf(http.StatusServiceUnavailable, registry.CodeUnavailable, format, args...)
	e.RetryAfter = min(after, longest)
	if e.RetryAfter <= 0 {
		e.RetryAfter = retryAfter
	}
	return e
}

// denied is how a lack of rights looks from outside: upstream's own 401 would
// make a client ask its user for credentials that help nobody here.
func (o *origin) denied(request registry.Request) *registry.Error {
	switch request.Kind {
	case registry.KindCatalog:
		return registry.Errorf(http.StatusForbidden, registry.CodeDenied,
			"upstream %s does not let Breakwater's account list the catalog: in Harbor that takes a system robot with the permission to list repositories, or an administrator", o.Upstream.Name())
	case registry.KindBase:
		return o.credentialRefused()
	}
	return registry.Errorf(http.StatusNotFound, request.Kind.Unknown(),
		"%s is unknown upstream, or Breakwater's account there has no right to pull it", request.Name)
}

func (o *origin) credentialRefused() *registry.Error {
	return registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable,
		"upstream %s refuses the credential that Breakwater holds: its operator must renew it; yours are not the trouble", o.Upstream.Name())
}

// saidNo is upstream's refusal of a request that reached it.
type saidNo struct {
	status     int
	credential bool // it is about upstream's own credential for what lies beyond
	refusal    *registry.Error
}

func (e *saidNo) Error() string { return e.refusal.Error() }

// Unwrap gives what the client is told.
func (e *saidNo) Unwrap() error { return e.refusal }

// refusalOf reads an answer of upstream that is not what was asked for.
func (o *origin) refusalOf(request registry.Request, resp *http.Response) error {
	code, message := registry.ReadError(resp.Body)
	cause := errors.New(strings.TrimRight(fmt.Sprintf("upstream answered %d %s: %s", resp.StatusCode, code, message), ": "))
	no := func(refusal *registry.Error) error { return &saidNo{status: resp.StatusCode, refusal: refusal} }
	passOn := func(status int, code registry.Code) error {
		if message == "" { // as to any HEAD
			return no(registry.Errorf(status, code, "upstream %s refuses it, or does not know it", o.Upstream.Name()).Because(cause))
		}
		return no(registry.Errorf(status, code, "%s", message)) // upstream's own words, which are the cause as well
	}
	if no, ok := o.refusedBeyond(request, resp, cause); ok {
		return no
	}
	switch status := resp.StatusCode; {
	case status == http.StatusUnauthorized:
		return no(o.denied(request).Because(cause))
	case status == http.StatusForbidden:
		return passOn(status, registry.CodeDenied)
	case status == http.StatusNotFound, status == http.StatusGone:
		return passOn(http.StatusNotFound, request.Kind.Unknown())
	case status == http.StatusMethodNotAllowed:
		return passOn(status, registry.CodeUnsupported)
	case status == http.StatusPreconditionFailed && code != "":
		return passOn(status, code) // a policy of the project: PROJECTPOLICYVIOLATION
	case status == http.StatusLoopDetected:
		return registry.Errorf(status, registry.CodeUnavailable, "the way to upstream %s leads in a circle: look at the url of each Breakwater's upstreams", o.Upstream.Name()).Because(cause)
	case status == http.StatusTooManyRequests || status >= 500 && status <= 599:
		// 429 makes some clients ask six times within milliseconds; 503 none.
		after, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // a date, or none: our own time
		return o.unavailable(after).Because(cause)
	}
	return o.badAnswer(request, resp, "%w", cause)
}

// badAnswer is the refusal of an answer that no registry should have given.
func (o *origin) badAnswer(request registry.Request, resp *http.Response, format string, args ...any) error {
	return registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable,
		"upstream %s answered %d with something that is not the %s asked for", o.Upstream.Name(), resp.StatusCode, request.Kind).
		Because(fmt.Errorf(format, args...))
}
