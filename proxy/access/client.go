package access

import (
	"context"
	"net/http"
	"net/netip"
	"strings"

	"breakwater/internal/redact"
)

// Client is who sent a request, as far as it was proven.
type Client struct {
	// Subject is the client's name: a user, a JWT's sub, a certificate's common name;
	// "" where nobody had to say who they are.
	Subject string
	// Names are further names that it proved, such as a certificate's SANs.
	Names []string
	// Groups are what it was proven to belong to.
	Groups []string
	// Address is where the request came from.
	Address netip.Addr

	// may, if set, has the last word on what the policy allows: one answer for each of
	// upstream's repositories. It also proves who the client is, for which it needs
	// none. An error is a [*Refusal] or ctx's own.
	may      func(ctx context.Context, repositories []string) ([]bool, error)
	upstream string // whose word may is, by its name in the configuration
}

// address is where a request came from; invalid for a test's without one.
func address(r *http.Request) netip.Addr { return parseAddress(r.RemoteAddr) }

// parseAddress reads an address with a port as a [net.Addr] writes it.
func parseAddress(text string) netip.Addr {
	from, err := netip.ParseAddrPort(text)
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr().Unmap().WithZone("")
}

// neighbourhood is what counts as one address where clients are held apart: of
// IPv6 a machine has a whole /64.
func neighbourhood(a netip.Addr) netip.Prefix {
	bits := 64
	if a.Is4() {
		bits = 32
	}
	prefix, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // of a test's request without an address
	}
	return prefix
}

// credentials are what a client proves itself with.
type credentials struct {
	username string        // "" for a bearer token
	secret   redact.Secret // password or token
	bearer   bool
}

// presented reads the Authorization field: Basic (RFC 7617) or Bearer (RFC 6750
// §2.1). There are none where it is absent or, as podman's library sends it, Basic
// with neither user name nor password. ok is false for what cannot be read.
func presented(r *http.Request) (c credentials, given, ok bool) {
	fields := r.Header.Values("Authorization")
	if len(fields) == 0 || len(fields) == 1 && fields[0] == "" {
		return credentials{}, false, true
	}
	if len(fields) > 1 {
		return credentials{}, true, false
	}
	if username, password, ok := r.BasicAuth(); ok {
		given := username != "" || password != ""
		return credentials{username: username, secret: redact.Secret(password)}, given, true
	}
	scheme, token, _ := strings.Cut(fields[0], " ")
	token = strings.TrimLeft(token, " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return credentials{}, true, false
	}
	return credentials{secret: redact.Secret(token), bearer: true}, true, true
}
