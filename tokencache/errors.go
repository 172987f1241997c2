package tokencache

import (
	"fmt"
	"net/url"
	"time"

	"breakwater/internal/flight"
	"breakwater/internal/redact"
)

// ErrClosed is returned by everything that is asked of a closed [Cache].
var ErrClosed = flight.ErrClosed

// A CredentialError says that upstream refuses the configured credential, or
// wants one where none is configured. Nothing is sent upstream before Until,
// unless the credential changes.
type CredentialError struct {
	Upstream string    // origin, for instance https://harbor.example.com
	Account  string    // user name; empty where no credential is configured
	Until    time.Time // time of the next try; zero where a newer exchange's answer counts
}

func (e *CredentialError) Error() string {
	if e.Account == "" {
		return fmt.Sprintf("%s asks for a user name and a password, and none are configured: set username and password_file",
			e.Upstream)
	}
	next := "next try"
	if !e.Until.IsZero() {
		next += " at " + e.Until.Format(time.RFC3339) + ", or"
	}
	return fmt.Sprintf("%s refuses the credential of %q: check that the account exists, is enabled and not expired, "+
		"and that the configured secret is its newest; %s as soon as the secret changes", e.Upstream, e.Account, next)
}

// A NoGrantError says that upstream knows the account and grants it nothing for
// the scope.
type NoGrantError struct {
	Upstream string
	Account  string // user name; empty for anonymous access
	Scope    Scope  // what was asked for; zero where nothing was
}

func (e *NoGrantError) Error() string {
	on := ""
	if e.Scope.Type != "" {
		on = " on " + e.Scope.String()
	}
	if e.Account == "" {
		return fmt.Sprintf("%s grants nothing%s without an account: set username and password_file", e.Upstream, on)
	}
	return fmt.Sprintf("%s grants %q nothing%s: give the account that right there (at Harbor: on the project), "+
		"or take the repository out of what is served", e.Upstream, e.Account, on)
}

// An UnavailableError says that no token can be had now and that this is nobody's
// refusal: the token service is down, slow, overloaded or talks nonsense, or
// upstream itself says that it is ill.
//
// It does not unwrap: a time limit of a token call or a status of the token
// service must not be taken for the caller's or the registry's own.
type UnavailableError struct {
	Upstream   string
	Reason     string
	RetryAfter time.Duration // time left until upstream is asked again; 0 = at once

	ill       bool // upstream's health says so, so health may say when it ends
	misplaced bool // what answered is no token service: the realm may have moved
	scoped    bool // a 4xx: it may be about this one scope
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("no token from %s: %s", e.Upstream, e.Reason)
}

// A RefusedError says that the token service answered 401 to credentials that are not
// ours: see [Cache.Ask].
type RefusedError struct {
	Upstream string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s does not take the user name and the password", e.Upstream)
}

// A RealmError says that upstream's challenge names a token service at another
// origin, to which no credential is sent.
type RealmError struct {
	Upstream string
	Realm    string // host and path only
}

func (e *RealmError) Error() string {
	return fmt.Sprintf("%s names %q as its token service, which is not its own scheme, host and port; "+
		"no credential was sent there. Set token_url to the token service's address as seen from here "+
		"(usual where TLS ends before Harbor: %s/service/token), or list the origin under realms",
		e.Upstream, e.Realm, e.Upstream)
}

// printable is a realm as errors show it: upstream wrote it, so it may be
// anything of any length.
func printable(realm string) string {
	u, err := url.Parse(realm)
	if err != nil {
		return "(not a URL)"
	}
	shown := redact.URL(u)
	return shown[:min(len(shown), 256)]
}
