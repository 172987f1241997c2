package upstream

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// UnreachableError says that no answer came: refused, reset, not resolved, or TLS
// failed.
type UnreachableError struct {
	Upstream string
	Err      error
}

func (e *UnreachableError) Error() string {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		expired x509.CertificateInvalidError
	)
	hint := " (breakwater check says how far the way there is open)"
	switch {
	case errors.As(e.Err, &unknown):
		hint = " (set ca_file to the authority that signed its certificate)"
	case errors.As(e.Err, &name):
		hint = " (url names a host that its certificate does not)"
	case errors.As(e.Err, &expired):
		hint = " (its certificate is not valid now: renew it, or look at the clocks)"
	}
	return fmt.Sprintf("upstream %s gave no answer: %v%s", e.Upstream, e.Err, hint)
}

// Unwrap gives the network's own error.
func (e *UnreachableError) Unwrap() error { return e.Err }

// RedirectError says that upstream sent us to a place where we do not go, or
// that what stands there did not answer with the blob. It says nothing about
// anybody's rights: a storage's 403 is an expired signature, not a refusal.
type RedirectError struct {
	Upstream string
	// Target is scheme, host and path; a presigned query is never kept.
	Target string
	Reason string
	// passing: asking upstream again, for a new signature, may help.
	passing bool
}

func (e *RedirectError) Error() string {
	return fmt.Sprintf("upstream %s redirects to %s: %s", e.Upstream, e.Target, e.Reason)
}

// stalledError is the cause of a context that ended because a body stood still.
type stalledError struct{ idle time.Duration }

func (e stalledError) Error() string {
	return fmt.Sprintf("the body stood still for %s", e.idle)
}
