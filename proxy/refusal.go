package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

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
	if x.clientLeft() {
		return // nobody is there to be told
	}
	refusal := x.refusal(err)
	header := x.w.Header()
	refusal.Header(header)
	x.cacheStatus(header)
	x.w.WriteHeader(refusal.Status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(refusal.Body()) // the client is told what can be told
	}
}

// refusal finds the registry error for what went wrong. The chain is broken on
// purpose: the token service's 401 or an address in a network error is for the
// log, not for the client.
func (x *exchange) refusal(err error) *registry.Error {
	var (
		ready       *registry.Error
		grant       *tokencache.NoGrantError
		credential  *tokencache.CredentialError
		realm       *tokencache.RealmError
		unavailable *tokencache.UnavailableError
		redirect    *upstream.RedirectError
	)
	name := x.Upstream.Name()
	switch {
	case errors.As(err, &ready):
		return ready
	case errors.As(err, &grant):
		return x.denied()
	case errors.As(err, &credential):
		return x.credentialRefused()
	case errors.As(err, &realm):
		return registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable,
			"upstream %s sends Breakwater to a token service that it does not trust: its operator must look at the log", name)
	case errors.Is(err, upstream.ErrSwitched):
		return registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable, "upstream %s does not answer as a registry: its operator must look at the log", name)
	case errors.As(err, &redirect):
		return registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable,
			"the storage behind upstream %s did not give the blob: its operator must look at the log", name)
	case errors.As(err, &unavailable):
		return x.unavailable(int(unavailable.RetryAfter.Seconds()))
	}
	return x.unavailable(0)
}

func (x *exchange) unavailable(after int) *registry.Error {
	e := registry.Errorf(http.StatusServiceUnavailable, registry.CodeUnavailable, "upstream %s is not available now: try again later", x.Upstream.Name())
	e.RetryAfter = min(after, longest)
	if e.RetryAfter <= 0 {
		e.RetryAfter = retryAfter
	}
	return e
}

// denied is how a lack of rights looks from outside: upstream's own 401 would
// make a client ask its user for credentials that help nobody here.
func (x *exchange) denied() *registry.Error {
	switch x.request.Kind {
	case registry.KindCatalog:
		return registry.Errorf(http.StatusForbidden, registry.CodeDenied,
			"upstream %s does not let Breakwater's account list the catalog: in Harbor that takes a system robot with the permission to list repositories, or an administrator", x.Upstream.Name())
	case registry.KindBase:
		return x.credentialRefused()
	}
	return registry.Errorf(http.StatusNotFound, x.unknown(),
		"%s is unknown upstream, or Breakwater's account there has no right to pull it", x.request.Name)
}

func (x *exchange) credentialRefused() *registry.Error {
	return registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable,
		"upstream %s refuses the credential that Breakwater holds: its operator must renew it; yours are not the trouble", x.Upstream.Name())
}

// unknown is the code for "not there" of the request's kind.
func (x *exchange) unknown() registry.Code {
	switch x.request.Kind {
	case registry.KindManifest:
		return registry.CodeManifestUnknown
	case registry.KindBlob:
		return registry.CodeBlobUnknown
	}
	return registry.CodeNameUnknown
}

// refusalOf reads an answer of upstream that is not what was asked for.
func (x *exchange) refusalOf(resp *http.Response) error {
	code, message := registry.ReadError(resp.Body)
	cause := fmt.Errorf("upstream answered %d %s: %s", resp.StatusCode, code, message)
	passOn := func(status int, code registry.Code) error {
		if message == "" {
			message = fmt.Sprintf("upstream %s answered %d", x.Upstream.Name(), resp.StatusCode)
		}
		return registry.Errorf(status, code, "%s", message) // upstream's own words, which are the cause as well
	}
	switch status := resp.StatusCode; {
	case status == http.StatusUnauthorized:
		return x.denied().Because(cause)
	case status == http.StatusForbidden:
		return passOn(status, registry.CodeDenied)
	case status == http.StatusNotFound:
		return passOn(status, x.unknown())
	case status == http.StatusMethodNotAllowed:
		return passOn(status, registry.CodeUnsupported)
	case status == http.StatusPreconditionFailed && code != "":
		return passOn(status, code) // a policy of the project: PROJECTPOLICYVIOLATION
	case status == http.StatusRequestedRangeNotSatisfiable && x.rangeAsked():
		if size := resp.Header.Get("Content-Range"); strings.HasPrefix(size, "bytes */") {
			x.w.Header().Set("Content-Range", size)
		}
		return registry.Errorf(status, registry.CodeRangeInvalid, "the blob ends before the range begins")
	case status == http.StatusTooManyRequests || status >= 500 && status <= 599:
		// 429 makes some clients ask six times within milliseconds; 503 none.
		after, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // a date, or none: our own time
		return x.unavailable(after).Because(cause)
	}
	return x.badAnswer(resp, "%w", cause)
}
