package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const (
	maxNetworks = 1000
	maxLimit    = 1_000_000
)

// validateListener sees to it that nothing is open by accident: who may pull on the
// listener at the path at is written, and written once.
func (c Config) validateListener(r *report, at string, l Listener) {
	l.Limits.validate(r, at+".limits")
	l.validateTLS(r, at)
	c.validateDefault(r, at+".default", l.Default)
	modes := l.modes()
	if len(modes) == 0 {
		if !l.Address.isLoopback() && l.Address != "" {
			c.refuseOpen(r, at, l.Address)
		}
		return
	}
	for _, mode := range modes[1:] {
		r.problem(at+"."+mode, "and "+modes[0]+" are both given, and a listener has one access mode", "keep one of them, and write a listener with another port for the other")
	}
	if len(modes) > 1 {
		return // of which mode the rest is, is not known
	}
	switch mode := modes[0]; mode {
	case "anonymous":
		l.validateNetworks(r, at+".anonymous.networks")
	case "password":
		requireFile(r, at+".password", "htpasswd_file", l.Password.HtpasswdFile, "write the path of a file of user:hash lines, made with htpasswd -B -C 10")
	case "token":
		l.Token.validate(r, at+".token")
	case "mtls":
		requireFile(r, at+".mtls", "ca_file", l.MTLS.CAFile, "write the path of the authorities that vouch for clients, in PEM form")
		if l.TLS == nil {
			r.missing(at, at+".mtls", "asks for a certificate within TLS, and the listener has none", "add tls: {cert_file: …, key_file: …}")
		}
	case "harbor":
		c.validateOwnAccount(r, at+".harbor", l.Harbor.Upstream)
	}
	c.validateAllow(r, at, l, modes[0])
	if slices.Contains([]string{"password", "token", "harbor"}, modes[0]) && l.TLS == nil && !l.Address.isLoopback() {
		r.warn(at+"."+modes[0], "is without tls: who listens on the way reads what clients log in with", "add tls, unless something in front of this listener ends TLS")
	}
}

// refuseOpen says what to write, in lines to be pasted below the address.
func (c Config) refuseOpen(r *report, at string, address Address) {
	fix := "add these three lines to the listener (or one of password, token, mtls, harbor):"
	if r.flags != nil {
		fix = "add --anonymous 10.0.0.0/8, or wherever your clients are; or in a file given with --config these three lines to the listener (or one of password, token, mtls, harbor):"
	}
	margin := "\n" + strings.Repeat(" ", r.indent(at))
	r.missing(at, at+".address", fmt.Sprintf("%s can be reached from other machines, and nothing says who may pull%s", address, c.account(r)),
		fix+margin+"anonymous:"+margin+"  networks:"+margin+"    - 10.0.0.0/8   # where your clients are")
}

// account says whose rights clients of Breakwater use.
func (c Config) account(r *report) string {
	names, at, own := slices.Sorted(maps.Keys(c.Upstreams)), "upstreams", false
	for _, name := range names {
		own = own || c.Upstreams[name].Username != "" || c.Upstreams[name].BearerTokenFile != ""
	}
	if len(names) == 1 {
		at = join(at, names[0])
	}
	switch {
	case len(names) == 0:
		return ""
	case own:
		return " with the account of " + r.name(at)
	}
	return " from " + r.name(at)
}

// requireFile reports that the file at key is not named, or not by a path that can be one.
func requireFile(r *report, at, key, file, fix string) {
	if file == "" {
		r.missing(at, at+"."+key, "is missing", fix)
	}
	r.wrong(at+"."+key, absolute(file))
}

func (l Listener) validateTLS(r *report, at string) {
	if l.TLS == nil {
		return
	}
	at += ".tls"
	requireFile(r, at, "cert_file", l.TLS.CertFile, "write the path of the listener's certificate, in PEM form")
	requireFile(r, at, "key_file", l.TLS.KeyFile, "write the path of the certificate's key, in PEM form")
}

// validateOwnAccount: Breakwater's own credential is the control sample by which a
// client's wrong password is told from a Harbor that refuses everybody.
func (c Config) validateOwnAccount(r *report, path, upstream string) {
	const needed = "needs an account of Breakwater's own: with it content is fetched, and a wrong password is told from an ill Harbor"
	known := c.known()
	u, isKnown := c.Upstreams[upstream]
	switch own := c.accounts(); {
	case r.flawed("upstreams"): // then it may be the account that could not be understood
	case upstream == "" && len(own) > 1:
		r.missing(path, path+".upstream", "is missing, and Breakwater has an account at several", "write whose accounts clients have: one of "+some(own))
	case upstream == "" && len(known) == 1:
		r.problem(path, needed, "add username and password_file to "+join("upstreams", known[0]))
	case upstream == "":
		r.problem(path, needed, "add username and password_file to the one of upstreams whose accounts clients have")
	case !isKnown:
		fix := "write one of " + some(known)
		if meant := closest(upstream, known); meant != "" {
			fix = fmt.Sprintf("did you mean %q?", meant)
		}
		r.problem(path+".upstream", shown(upstream)+" is not an upstream", fix)
	case u.Username == "":
		r.problem(path+".upstream", needed, "add username and password_file to "+join("upstreams", upstream))
	}
}

func (l Listener) validateNetworks(r *report, path string) {
	networks, loopback := l.Anonymous.Networks, l.Address.isLoopback()
	switch {
	case networks == nil && l.Address != "":
		r.missing(strings.TrimSuffix(path, ".networks"), path, fmt.Sprintf("is missing, and %s can be reached from other machines", l.Address), "write where your clients are, such as networks: [10.0.0.0/8]")
	case networks != nil && len(networks) == 0 || len(networks) > maxNetworks:
		r.problem(path, fmt.Sprintf("has %d entries", len(networks)), fmt.Sprintf("write 1 to %d networks; without one nobody may pull", maxNetworks))
	}
	for i, network := range networks {
		if network.IsValid() && network.Bits() == 0 && !loopback {
			r.warn(fmt.Sprintf("%s[%d]", path, i), fmt.Sprintf("%s lets in everybody who can reach %s", network, l.Address), "write where your clients are, such as 10.0.0.0/8")
		}
	}
	if loopback && len(networks) > 0 && !slices.ContainsFunc(networks, ofThisMachine) {
		r.warn(path, fmt.Sprintf("lets in nobody: only this machine reaches %s, and it is in none of them", l.Address), "add 127.0.0.0/8, or choose an address that others reach")
	}
}

// ofThisMachine reports whether a client on this machine may be in the network, or
// it could not be read, which is another problem.
func ofThisMachine(n Network) bool {
	return !n.IsValid() || slices.ContainsFunc(thisMachine(), func(own Network) bool { return own.Overlaps(n.Prefix) })
}

func (l Limits) validate(r *report, at string) {
	for key, limit := range map[string]int{"connections": l.Connections, "address_pulls": l.AddressPulls, "subject_pulls": l.SubjectPulls} {
		if limit < 1 || limit > maxLimit {
			r.problem(at+"."+key, fmt.Sprintf("%d is out of range", limit), fmt.Sprintf("write a number from 1 to %d", maxLimit))
		}
	}
}

// isLoopback reports whether nobody but this machine reaches a.
func (a Address) isLoopback() bool {
	parsed, ok := a.addrPort()
	return ok && parsed.Addr().IsLoopback()
}
