package config

import (
	"maps"
	"net/netip"
	"slices"
)

// Listener is one address on which the registry is served, and who may pull there.
// After Load, Parse and FromFlags it has exactly one access mode: one of Anonymous,
// Password, Token, MTLS and Harbor.
type Listener struct {
	Address Address  `yaml:"address"`           // loopback only where no mode was written
	TLS     *KeyPair `yaml:"tls,omitempty"`     // nil = plain HTTP
	Default string   `yaml:"default,omitempty"` // the route of names that name none; "" = there is none, of several

	Anonymous *Anonymous `yaml:"anonymous,omitempty"`
	Password  *Password  `yaml:"password,omitempty"`
	Token     Issuers    `yaml:"token,omitempty"`
	MTLS      *MTLS      `yaml:"mtls,omitempty"` // with TLS only
	Harbor    *Harbor    `yaml:"harbor,omitempty"`

	Allow  []Rule `yaml:"allow,omitempty"` // nil = whoever is let in may pull all that upstream gives; with Anonymous and Harbor only
	Hide   bool   `yaml:"hide,omitempty"`  // what is denied looks as if it did not exist
	Limits Limits `yaml:"limits"`
}

// KeyPair is a certificate and its key, in PEM form.
type KeyPair struct {
	CertFile string `yaml:"cert_file"` // absolute; the chain, leaf first
	KeyFile  string `yaml:"key_file"`  // absolute; unencrypted
}

// Anonymous lets in whoever comes from one of the networks.
type Anonymous struct {
	Networks []Network `yaml:"networks"` // this machine's own where none were written, which a loopback address allows
}

// Password lets in who knows a password of an htpasswd file.
type Password struct {
	HtpasswdFile string `yaml:"htpasswd_file"` // absolute; lines of user:hash, bcrypt
}

// MTLS lets in who brings a certificate of a trusted authority.
type MTLS struct {
	CAFile string `yaml:"ca_file"` // absolute; PEM
}

// Harbor lets in whom Harbor itself knows.
type Harbor struct {
	Upstream string `yaml:"upstream"` // which one is asked; the only one with an account where none was written
}

// Limits are how much of a listener one client may keep busy; each 1 to 1,000,000.
type Limits struct {
	Connections  int `yaml:"connections"`   // open at once, of one address (IPv6: /64)
	AddressPulls int `yaml:"address_pulls"` // requests under way at once, of one address
	SubjectPulls int `yaml:"subject_pulls"` // and of one subject, wherever it comes from
}

// DefaultListener is what holds of a listener where an operator wrote nothing. It
// has no address.
func DefaultListener() Listener {
	return Listener{Limits: Limits{Connections: 1024, AddressPulls: 256, SubjectPulls: 4096}}
}

// usual is what decoding begins with.
func (*Listener) usual() any { return DefaultListener() }

// thisMachine is whose clients a loopback address can have.
func thisMachine() []Network {
	return []Network{{netip.MustParsePrefix("127.0.0.0/8")}, {netip.MustParsePrefix("::1/128")}}
}

// complete gives a listener that nobody else can reach the mode that asks nobody.
func (l *Listener) complete() {
	if !l.Address.isLoopback() {
		return
	}
	if len(l.modes()) == 0 {
		l.Anonymous = &Anonymous{}
	}
	if l.Anonymous != nil && l.Anonymous.Networks == nil {
		l.Anonymous.Networks = thisMachine()
	}
}

// completeListener fills in what can mean one thing only: the one route, and the one
// upstream whose accounts clients may log in with.
func (c Config) completeListener(l *Listener) {
	if names := slices.Collect(maps.Keys(c.Routes)); l.Default == "" && len(names) == 1 {
		l.Default = names[0]
	}
	if own := c.accounts(); l.Harbor != nil && l.Harbor.Upstream == "" && len(own) == 1 {
		l.Harbor.Upstream = own[0]
	}
}

// accounts are the upstreams where Breakwater has an account of its own, with a name and
// a password.
func (c Config) accounts() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		if c.Upstreams[name].Username != "" {
			names = append(names, name)
		}
	}
	return names
}

// modes are the words of the access modes that were written.
func (l Listener) modes() []string {
	var modes []string
	for _, mode := range []struct {
		word    string
		written bool
	}{
		{"anonymous", l.Anonymous != nil},
		{"password", l.Password != nil},
		{"token", l.Token != nil},
		{"mtls", l.MTLS != nil},
		{"harbor", l.Harbor != nil},
	} {
		if mode.written {
			modes = append(modes, mode.word)
		}
	}
	return modes
}

// Files are those whose change is worth knowing.
func (l Listener) Files() []string {
	files := l.ModeFiles()
	if l.TLS != nil {
		files = append(files, l.TLS.CertFile, l.TLS.KeyFile)
	}
	return files
}

// ModeFiles are those of the access mode. A bearer token is read at each use.
func (l Listener) ModeFiles() []string {
	var files []string
	if l.Password != nil {
		files = append(files, l.Password.HtpasswdFile)
	}
	if l.MTLS != nil {
		files = append(files, l.MTLS.CAFile)
	}
	for _, issuer := range l.Token {
		files = append(files, issuer.CAFile, issuer.JWKSFile)
	}
	return files
}
