package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"breakwater/config"
	"breakwater/internal/pattern"
	"breakwater/proxy/access"

	"go.uber.org/zap"
)

// door is one listener of the registry: who may come in, and the certificate that
// clients are shown.
type door struct {
	config.Listener
	gate        *access.Gate
	certificate *certificate // nil: plain http
}

// openDoors builds the doors of all listeners; nothing is asked of the network.
func openDoors(listeners []config.Listener, upstreams []asked, events access.Events, log *zap.Logger) ([]*door, error) {
	var doors []*door
	for i, l := range listeners {
		d, err := newDoor(l, upstreams, events, log)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listeners[%d].%w", i, err), closeDoors(doors))
		}
		doors = append(doors, d)
	}
	return doors, nil
}

// newDoor's errors begin with the key below the listener that they are about.
func newDoor(l config.Listener, upstreams []asked, events access.Events, log *zap.Logger) (*door, error) {
	d := &door{Listener: l}
	if l.TLS != nil {
		d.certificate = &certificate{certFile: l.TLS.CertFile, keyFile: l.TLS.KeyFile}
		if err := d.certificate.reload(); err != nil {
			return nil, err
		}
	}
	mode, err := newMode(l, upstreams, events, log.With(zap.String("listener", string(l.Address))))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from(l), err)
	}
	d.gate = access.New(access.Options{
		Listener: string(l.Address), Mode: mode, Allow: allowed(l.Allow), Hide: l.Hide, Events: events, Log: log,
		Limits: access.Limits{Connections: l.Limits.Connections, AddressPulls: l.Limits.AddressPulls, SubjectPulls: l.Limits.SubjectPulls},
	})
	return d, nil
}

func closeDoors(doors []*door) error {
	var err error
	for _, d := range doors {
		err = errors.Join(err, d.gate.Close())
	}
	return err
}

// from is the key by which a mode finds who its clients are.
func from(l config.Listener) string {
	switch {
	case l.Password != nil:
		return "password.htpasswd_file"
	case l.Token != nil:
		return "token"
	case l.MTLS != nil:
		return "mtls.ca_file"
	case l.Harbor != nil:
		return "harbor"
	}
	return "anonymous"
}

// newMode builds the one access mode that a valid listener has.
func newMode(l config.Listener, upstreams []asked, events access.Events, log *zap.Logger) (access.Mode, error) {
	name := string(l.Address)
	switch {
	case l.Password != nil:
		return access.NewPassword(access.PasswordOptions{Read: file(l.Password.HtpasswdFile), Listener: name, Events: events, Log: log})
	case l.Token != nil:
		return access.NewToken(access.TokenOptions{Issuers: issuers(l.Token), Listener: name, Events: events, Log: log})
	case l.MTLS != nil:
		return access.NewCertificate(access.CertificateOptions{Read: file(l.MTLS.CAFile), Listener: name, Events: events, Log: log})
	case l.Harbor != nil:
		harbor := upstreams[slices.IndexFunc(upstreams, func(a asked) bool { return a.Name == l.Harbor.Upstream })]
		return access.NewHarbor(access.HarborOptions{Upstream: harbor.client, Name: harbor.Name, Own: harbor.Username, Listener: name, Events: events, Log: log}), nil
	}
	networks := make([]netip.Prefix, len(l.Anonymous.Networks))
	for i, network := range l.Anonymous.Networks {
		networks[i] = network.Prefix
	}
	return access.NewAnonymous(networks), nil
}

// file reads a file that a mode is about.
func file(path string) func() ([]byte, error) {
	return func() ([]byte, error) { return config.ReadFile(path) }
}

// issuers turns the configuration's into those of the token mode.
func issuers(configured config.Issuers) []access.Issuer {
	var made []access.Issuer
	for _, c := range configured {
		one := access.Issuer{
			Issuer: string(c.Issuer), Audience: c.Audience, Prefix: c.Prefix, SubjectClaim: c.SubjectClaim, GroupsClaim: c.GroupsClaim,
			BearerToken: c.BearerToken, OwnAPI: c.OwnAPI,
			Client: func() (*http.Client, error) { return issuerClient(c.CAFile) },
		}
		if c.JWKSFile != "" {
			one.JWKS = file(c.JWKSFile)
		}
		made = append(made, one)
	}
	return made
}

// allowed turns rules into a policy. Where none are written, and the configuration
// takes that only where nobody is known or Harbor decides, all is allowed.
func allowed(rules []config.Rule) access.Policy {
	if rules == nil {
		return access.Everything()
	}
	policy := access.Policy{}
	for _, r := range rules {
		policy = append(policy, access.Rule{
			Anyone:   len(r.Subjects)+len(r.Groups) == 0,
			Subjects: pattern.All(r.Subjects...), Groups: pattern.All(r.Groups...), Pull: pattern.All(r.Pull...),
		})
	}
	return policy
}

// tls is what the listener is served with; nil for plain http.
func (d *door) tls() *tls.Config {
	if d.certificate == nil {
		return nil
	}
	settings := d.certificate.config()
	if mode, ok := d.gate.Mode.(*access.Certificate); ok {
		mode.Ask(settings)
	}
	return settings
}

// who says in a few words who may pull there, for the log at start.
func (d *door) who() string {
	switch {
	case d.Password != nil:
		return "whoever has a password in " + d.Password.HtpasswdFile
	case d.Token != nil:
		var issuers []string
		for _, issuer := range d.Token {
			issuers = append(issuers, string(issuer.Issuer))
		}
		return "whoever brings a token of " + strings.Join(issuers, " or ")
	case d.MTLS != nil:
		return "whoever brings a certificate of " + d.MTLS.CAFile
	case d.Harbor != nil:
		return "whoever logs in as to Harbor"
	}
	var networks []string
	for _, network := range d.Anonymous.Networks {
		networks = append(networks, network.String())
	}
	return "whoever comes from " + strings.Join(networks, ", ") + ", without credentials"
}
