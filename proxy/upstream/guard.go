package upstream

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"
)

// never are addresses that no redirect is followed to, listed or not: metadata
// services hand out a machine's credentials to whoever asks from inside.
var never = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),     // link-local; 169.254.169.254 is most clouds' metadata
	netip.MustParsePrefix("fe80::/10"),          // link-local
	netip.MustParsePrefix("fd00:ec2::254/128"),  // metadata over IPv6
	netip.MustParsePrefix("100.100.100.200/32"), // metadata
	netip.MustParsePrefix("192.0.0.192/32"),     // metadata
	netip.MustParsePrefix("168.63.129.16/32"),   // a cloud's wire server
	netip.MustParsePrefix("0.0.0.0/8"),          // "this host"
	netip.MustParsePrefix("255.255.255.255/32"), // broadcast
}

// inside are networks that are followed into only when the configuration lists
// them, besides what [netip.Addr] itself calls private or loopback.
var inside = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), // shared address space, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),  // IETF protocol assignments, RFC 6890
	netip.MustParsePrefix("198.18.0.0/15"), // benchmarking, RFC 2544
	netip.MustParsePrefix("64:ff9b::/96"),  // NAT64 leads to any IPv4 address, RFC 6052
	netip.MustParsePrefix("2002::/16"),     // so does 6to4, RFC 3056
}

// guard decides where the redirect of a body may lead.
type guard struct{ allowed []netip.Prefix }

// dial is a [dialControl]: it sees the address that the name resolved to, so
// that a name cannot be pointed elsewhere between a check and the connection.
func (g guard) dial(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("the address %q of a redirect cannot be read: %w", address, err)
	}
	return g.check(target.Addr())
}

func (g guard) check(ip netip.Addr) error {
	ip = ip.Unmap().WithZone("")
	contains := func(p netip.Prefix) bool { return p.Contains(ip) }
	switch {
	case ip.IsMulticast() || ip.IsUnspecified() || slices.ContainsFunc(never, contains):
		return fmt.Errorf("a redirect leads to %s, a link-local, metadata or reserved address: refused", ip)
	case slices.ContainsFunc(g.allowed, contains):
		return nil
	case ip.IsPrivate() || ip.IsLoopback() || slices.ContainsFunc(inside, contains):
		return fmt.Errorf("a redirect leads to the private address %s: list its network under redirects if Harbor's storage is there", ip)
	}
	return nil
}
