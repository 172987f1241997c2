package upstream

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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
	netip.MustParsePrefix("100.64.0.0/10"),  // shared address space, RFC 6598
	netip.MustParsePrefix("192.0.0.0/24"),   // IETF protocol assignments, RFC 6890
	netip.MustParsePrefix("198.18.0.0/15"),  // benchmarking, RFC 2544
	netip.MustParsePrefix("64:ff9b::/96"),   // NAT64 leads to any IPv4 address, RFC 6052
	netip.MustParsePrefix("64:ff9b:1::/48"), // the same for local use, RFC 8215
	netip.MustParsePrefix("240.0.0.0/4"),    // reserved, RFC 1112
	netip.MustParsePrefix("2002::/16"),      // so does 6to4, RFC 3056
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

// name judges a host that somebody else, an egress proxy, will resolve: only what
// is plain from the name itself can be known here.
func (g guard) name(host string) error {
	host = strings.ToLower(strings.TrimRight(host, "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		return g.check(ip)
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	switch {
	case last == "localhost":
		return g.check(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	case host == "metadata.google.internal" || host == "metadata":
		return errors.New("a redirect leads to a metadata service: refused")
	case last == "" || last[0] >= '0' && last[0] <= '9':
		// "0x7f.1", "2130706433": resolvers read addresses in more ways than one.
		return errors.New("a redirect leads to a host that is neither a name nor a whole address: refused")
	}
	return nil
}
