package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"breakwater/internal/redact"
	"breakwater/proxy/route"
)

// URL is an absolute http or https URL without user information, query and
// fragment. In its zero value the pointer is nil: none was given.
type URL struct{ *url.URL }

// parse shows nothing of what it refuses: that may hold a password.
func (u *URL) parse(text string) *mistake {
	parsed, err := url.Parse(text)
	switch {
	case err != nil:
		return &mistake{"is not a URL", "write https:// and a host, such as https://harbor.example.com"}
	case parsed.Scheme != "https" && parsed.Scheme != "http" || parsed.Hostname() == "":
		return &mistake{"is not a URL that begins with https:// (or http://) and a host", "write it whole, such as https://harbor.example.com"}
	case parsed.User != nil:
		return &mistake{"holds a user name or password, which would be printed wherever the URL is", "remove what stands before the @, the account is given on its own"}
	case parsed.RawQuery != "" || parsed.ForceQuery || parsed.Fragment != "" || strings.HasSuffix(text, "#"):
		return &mistake{"holds a query (?) or fragment (#)", "remove it"}
	case parsed.Port() != "" && !validPort(parsed.Port()) || strings.HasSuffix(parsed.Host, ":"):
		return &mistake{"has no valid port", "write a number from 1 to 65535 after the colon, or remove the colon"}
	}
	u.URL = parsed
	return nil
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// isOrigin reports whether u is scheme, host and port alone (RFC 6454 §4).
func (u URL) isOrigin() bool { return u.Path == "" || u.Path == "/" }

// registry is what clients call the registry at u: the host, and the port if it is not
// the scheme's usual one.
func (u URL) registry() string {
	name := strings.ToLower(u.Hostname())
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	if hub := (route.Route{Name: route.DockerHub}); slices.Contains(hub.Aliases(), name) {
		name = hub.Name
	}
	if port := u.port(); port != "443" && (port != "80" || u.Scheme != "http") {
		name += ":" + port
	}
	return name
}

// port is the one that is written, or the scheme's (RFC 9110 §4.2).
func (u URL) port() string {
	if port := u.Port(); port != "" {
		return port
	}
	if u.Scheme == "http" {
		return "80"
	}
	return "443"
}

// origin is u in the one spelling that its origin has (RFC 6454 §6).
func (u URL) origin() string {
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), u.port())
}

// reaches reports whether who asks u of this machine finds what listens on a: the
// same port, of the same address or of any.
func (u URL) reaches(a Address) bool {
	own, ok := a.addrPort()
	if u.URL == nil || !ok || strconv.Itoa(int(own.Port())) != u.port() {
		return false
	}
	if u.Hostname() == "localhost" {
		return own.Addr().IsLoopback() || own.Addr().IsUnspecified()
	}
	ip, err := netip.ParseAddr(u.Hostname())
	ip = ip.Unmap()
	switch {
	case err != nil:
		return false
	case ip.IsUnspecified(): // which connects to this machine
		return own.Addr().IsLoopback() || own.Addr().IsUnspecified()
	}
	return ip == own.Addr() || ip.IsLoopback() && own.Addr().IsUnspecified()
}

// inTheClear reports whether what is sent to u could be read on the way.
func (u URL) inTheClear() bool {
	if u.URL == nil || u.Scheme != "http" || u.Hostname() == "localhost" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err != nil || !ip.IsLoopback()
}

// String is scheme, host and path, or nothing.
func (u URL) String() string { return redact.URL(u.URL) }

// MarshalText covers JSON and YAML.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// Network is a range of addresses, such as 10.0.0.0/8.
type Network struct{ netip.Prefix }

func (n *Network) parse(text string) *mistake {
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		return &mistake{shown(text) + " is one address", "write " + netip.PrefixFrom(ip, ip.BitLen()).String()}
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil || prefix.Addr().Is4In6():
		return &mistake{shown(text) + " is not a network", "write an address and a length, such as 10.0.0.0/8 or fd00::/8"}
	case prefix != prefix.Masked():
		return &mistake{shown(text) + " has bits beyond its length", "write " + prefix.Masked().String()}
	}
	n.Prefix = prefix
	return nil
}

// Address is where to listen, as net.Listen takes it: an IP address or
// localhost or nothing, a colon, a port. Port 0 is one that the system chooses.
// "" is nowhere.
type Address string

func (a *Address) parse(text string) *mistake {
	if _, ok := Address(text).addrPort(); !ok && text != "" {
		return &mistake{shown(text) + " is not an address to listen on", "write an IP address or localhost, a colon and a port, such as 127.0.0.1:5000"}
	}
	*a = Address(text)
	return nil
}

// addrPort is a as numbers. Without a host that is every address.
func (a Address) addrPort() (netip.AddrPort, bool) {
	text := string(a)
	if port, ok := strings.CutPrefix(text, "localhost:"); ok {
		text = "127.0.0.1:" + port
	} else if strings.HasPrefix(text, ":") {
		text = "[::]" + text
	}
	parsed, err := netip.ParseAddrPort(text)
	return netip.AddrPortFrom(parsed.Addr().Unmap(), parsed.Port()), err == nil
}

// clashes reports whether not both of a and b can be listened on. Go opens every
// unspecified address, 0.0.0.0 too, for both families.
func (a Address) clashes(b Address) bool {
	x, okX := a.addrPort()
	y, okY := b.addrPort()
	if !okX || !okY || x.Port() != y.Port() || x.Port() == 0 {
		return false
	}
	return x.Addr() == y.Addr() || x.Addr().IsUnspecified() || y.Addr().IsUnspecified()
}
