package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"breakwater/proxy/registry"

	"go.uber.org/zap"
)

// How long what was found out about a certificate is remembered, if it does not
// expire before: a refusal shortly, since one that was issued just now may be of a
// clock ahead of ours.
const (
	acceptedCertificateMemory = time.Minute
	refusedCertificateMemory  = 5 * time.Second
)

// What a client may present: with more, a verification would be costly.
const (
	longestChain  = 8        // certificates, the client's own included
	largestChain  = 32 << 10 // bytes of all of them
	longestInLogs = 200      // characters of what a certificate says of itself
)

// CertificateOptions are what a [Certificate] needs. All but Log are required.
type CertificateOptions struct {
	// Read returns the PEM bundle of the authorities as it is now.
	Read     func() ([]byte, error)
	Listener string // its address as configured, for metrics
	Events   Events
	Log      *zap.Logger // may be nil
}

// Certificate is the [Mode] of client certificates (RFC 8446 §4.4.2), issued for
// client authentication by one of the authorities of a file. The subject is the
// common name, or the first alternative name where there is none; the names are the
// alternative names (RFC 5280 §4.2.1.6), and the groups the organizations.
//
// The handshake, see [Certificate.Ask], only proves that the client has the key. The
// certificate is verified with each request, so that one that expires, or whose
// authority is removed, opens nothing more on a connection that is open already, and
// a client reads why in the answer. Whether it was revoked nobody is asked.
type Certificate struct {
	options   CertificateOptions
	reloading sync.Mutex // held by Reload alone: of two files the later read stays in use
	current   atomic.Pointer[authorities]
}

// NewCertificate reads the authorities. The error is that of Read, or says what is
// wrong with the bundle.
func NewCertificate(o CertificateOptions) (*Certificate, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	c := &Certificate{options: o}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// Ask makes a server with that configuration ask clients for a certificate of the
// authorities as they are at each handshake. Whatever they present, or do not, the
// handshake lets them through.
func (c *Certificate) Ask(config *tls.Config) {
	config.ClientAuth = tls.RequestClientCert
	// A resumed session brings back the certificate of the first one (RFC 8446 §2.2),
	// which the client may have replaced since.
	config.SessionTicketsDisabled = true
	if config.NextProtos == nil {
		// A server adds these to its own copy, which is not the one below.
		config.NextProtos = []string{"h2", "http/1.1"}
	}
	base := config.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		asking := base.Clone()
		asking.ClientCAs = c.current.Load().pool // RFC 8446 §4.2.4: a client with several certificates chooses by it
		return asking, nil
	}
}

// Name implements [Mode].
func (c *Certificate) Name() string { return "mtls" }

// Challenge implements [Mode]: a certificate is asked for by the handshake.
func (c *Certificate) Challenge() string { return "" }

// Reload implements [Mode].
func (c *Certificate) Reload() error {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	bundle, err := c.options.Read()
	if err != nil {
		return fmt.Errorf("reading the authorities: %w", err)
	}
	read, err := parseAuthorities(bundle)
	if err != nil {
		return fmt.Errorf("authorities: %w", err)
	}
	c.current.Store(read)
	c.options.Log.Info("authorities of client certificates read", zap.Int("authorities", read.count))
	return nil
}

// Close implements [Mode].
func (c *Certificate) Close() error { return nil }

// Authenticate implements [Mode].
func (c *Certificate) Authenticate(_ context.Context, r *http.Request) (Client, error) {
	if r.TLS == nil {
		return Client{}, forbidden(NoCertificate, errors.New("the connection is without TLS"),
			"this registry wants a client certificate: connect by https")
	}
	chain := r.TLS.PeerCertificates
	switch {
	case !directed(r):
		return Client{}, misdirected(r)
	case len(chain) == 0:
		return Client{}, forbidden(NoCertificate, nil, "present a client certificate of an authority that this registry trusts")
	case len(chain) > longestChain || size(chain) > largestChain:
		return Client{}, forbidden(BadCertificate, fmt.Errorf("%d certificates of %d bytes", len(chain), size(chain)),
			"present your client certificate with its intermediates only: at most %d certificates and %d KiB", longestChain, largestChain>>10)
	}
	v := c.verdict(chain)
	if v.refusal != nil {
		return Client{}, v.refusal
	}
	return v.client, nil
}

// verdict is what was found out about a client's certificate.
type verdict struct {
	client  Client
	refusal *Refusal // nil: the client is who it says
}

// verdict verifies what is not remembered.
func (c *Certificate) verdict(chain []*x509.Certificate) verdict {
	by := c.current.Load()
	which := by.fingerprint(chain)
	if v, known := by.verdicts.get(which); known {
		return v
	}
	client, until, err := by.verify(chain)
	if err != nil {
		v := verdict{refusal: badCertificate(chain[0], err)}
		by.verdicts.put(which, v, time.Now().Add(refusedCertificateMemory))
		c.options.Events.CredentialsChecked(c.options.Listener, Rejected)
		return v
	}
	by.verdicts.put(which, verdict{client: client}, until)
	c.options.Events.CredentialsChecked(c.options.Listener, Accepted)
	return verdict{client: client}
}

// directed tells whether the request is for the host that its connection was opened
// for (RFC 9110 §7.4), as the handshake named it (RFC 6066 §3): without a name, it
// was for an IP address.
func directed(r *http.Request) bool {
	host := (&url.URL{Host: r.Host}).Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return r.TLS.ServerName == ""
	}
	return r.TLS.ServerName != "" && strings.EqualFold(strings.TrimSuffix(host, "."), r.TLS.ServerName)
}

// misdirected is 421 (RFC 9110 §15.5.20): on another connection, the client may show
// another certificate.
func misdirected(r *http.Request) *Refusal {
	cause := fmt.Errorf("the connection is for %.*q, the request for %.*q", longestInLogs, r.TLS.ServerName, longestInLogs, r.Host)
	return &Refusal{Misdirected, registry.Errorf(http.StatusMisdirectedRequest, registry.CodeDenied,
		"this connection was opened for another host than the request is for: open one for that host").Because(cause)}
}

// badCertificate tells the client what it can mend, and the log whose it is.
func badCertificate(leaf *x509.Certificate, err error) *Refusal {
	cause := fmt.Errorf("certificate of %.*q by %.*q: %.*s", longestInLogs, leaf.Subject, longestInLogs, leaf.Issuer, longestInLogs, err)
	said := "cannot be verified"
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.Is(err, errNameless):
		said = "has no name to know you by"
	case errors.As(err, &unknown):
		said = "is of no authority that this registry trusts"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		said = "has expired, or is not valid yet"
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		said = "is not for client authentication"
	}
	return forbidden(BadCertificate, cause, "your client certificate %s: present another one", said)
}

func size(chain []*x509.Certificate) (bytes int) {
	for _, certificate := range chain {
		bytes += len(certificate.Raw)
	}
	return bytes
}
