package access

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestAnonymousNetworks(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("fe80::/10")}
	for remote, in := range map[string]bool{
		"10.42.0.1:1000":            true,
		"10.42.255.255:1000":        true,
		"10.43.0.1:1000":            false,
		"[::ffff:10.42.0.1]:1000":   true, // IPv4 that came to an IPv6 listener
		"[::ffff:10.43.0.1]:1000":   false,
		"[::10.42.0.1]:1000":        false,
		"[fd12:3456::1]:1000":       true,
		"[fe80::1%eth0]:1000":       true,
		"[2001:db8::1]:1000":        false,
		"127.0.0.1:1000":            false,
		"[::1]:1000":                false,
		"[fd12:3456::1%eth0]:1000":  true,
		"[::ffff:10.42.0.1%eth0]:1": true,
		"pipe":                      false,
		"":                          false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
		r.RemoteAddr = remote
		// Neither who a client says it is nor where it says it comes from matters.
		r.SetBasicAuth("admin", "secret")
		r.Header.Set("X-Forwarded-For", "10.42.0.1")
		r.Header.Set("X-Real-Ip", "10.42.0.1")
		r.Header.Set("Forwarded", "for=10.42.0.1")
		client, err := NewAnonymous(networks).Authenticate(t.Context(), r)
		if client.Subject != "" {
			t.Errorf("%s: %q is somebody", remote, client.Subject)
		}
		if in {
			if err != nil {
				t.Errorf("%s: %v", remote, err)
			}
			continue
		}
		refusal, ok := errors.AsType[*Refusal](err)
		if !ok || refusal.Why != WrongAddress || refusal.Answer.Status != http.StatusForbidden {
			t.Errorf("%s: %v, want a 403", remote, err)
		}
		if ok && strings.Contains(refusal.Error(), "secret") {
			t.Errorf("%s: its password is told", remote)
		}
	}
}

func TestAnonymousWithoutNetworks(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	for _, networks := range [][]netip.Prefix{nil, {}, {netip.Prefix{}}} {
		if _, err := NewAnonymous(networks).Authenticate(t.Context(), r); err == nil {
			t.Errorf("let in from %v", networks)
		}
	}
}
