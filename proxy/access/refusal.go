package access

import (
	"context"
	"errors"
	"net/http"

	"breakwater/proxy/registry"
)

// Why is the one word for a refusal, in logs and metrics.
type Why string

// Why a client was turned away.
const (
	NoCredentials   Why = "no_credentials"   // it did not say who it is yet: each pull of some clients begins so
	BadCredentials  Why = "bad_credentials"  // what it said is not true, or not any more
	WrongAddress    Why = "wrong_address"    // it does not come from one of the networks
	NoCertificate   Why = "no_certificate"   // it brought none
	BadCertificate  Why = "bad_certificate"  // it brought one that is not good
	Misdirected     Why = "misdirected"      // it asked for another host than its connection is for
	NotAllowed      Why = "not_allowed"      // no rule of the policy allows it
	NotGranted      Why = "not_granted"      // Harbor grants it nothing there
	SlowedDown      Why = "slowed_down"      // too many wrong passwords from there
	Busy            Why = "busy"             // too much to check just now
	Unverifiable    Why = "unverifiable"     // who could tell (Harbor, an issuer) cannot be asked
	TooManyAtOnce   Why = "too_many_at_once" // requests under way of one address or subject
	TooManyConnects Why = "too_many_connections"
)

// Whys are all reasons, for whoever counts each.
func Whys() []Why {
	return []Why{NoCredentials, BadCredentials, WrongAddress, NoCertificate, BadCertificate, Misdirected,
		NotAllowed, NotGranted, SlowedDown, Busy, Unverifiable, TooManyAtOnce, TooManyConnects}
}

// Refusal is why a client was turned away, and what it is told: Answer, with the
// reason for the log as its Cause.
type Refusal struct {
	Why    Why
	Answer *registry.Error
}

func (r *Refusal) Error() string { return string(r.Why) + ": " + r.Answer.Error() }

// Unwrap gives what the client is told.
func (r *Refusal) Unwrap() error { return r.Answer }

// unauthorized is 401: the gate adds its challenge (RFC 9110 §15.5.2). cause is for
// the log only, and may be nil.
func unauthorized(why Why, cause error, format string, args ...any) *Refusal {
	return &Refusal{why, registry.Errorf(http.StatusUnauthorized, registry.CodeUnauthorized, format, args...).Because(cause)}
}

// forbidden is 403: to come again with other credentials would not help.
func forbidden(why Why, cause error, format string, args ...any) *Refusal {
	return &Refusal{why, registry.Errorf(http.StatusForbidden, registry.CodeDenied, format, args...).Because(cause)}
}

// later is 503 with Retry-After in seconds: some clients meet a 429 with six
// requests within milliseconds, and a 401 with asking their user.
func later(why Why, after int, cause error, format string, args ...any) *Refusal {
	e := registry.Errorf(http.StatusServiceUnavailable, registry.CodeUnavailable, format, args...).Because(cause)
	e.RetryAfter = max(after, 1)
	return &Refusal{why, e}
}

// overdue is what came of a wait once ctx has ended: the refusal if the request's time
// is over, or ctx's own error if the client left, which is nobody's refusal.
func overdue(ctx context.Context, refusal *Refusal) error {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return ctx.Err()
	}
	return refusal
}
