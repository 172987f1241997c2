package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// soon is when an expiring certificate becomes a warning.
const soon = 30 * 24 * time.Hour

// security prints what TLS showed, or why it failed.
func (v *visit) security(met connection, err error) bool {
	switch {
	case v.URL.Scheme != "https":
		v.Note("TLS", "none: url begins with http://")
		return true
	case met.tlsErr != nil || met.secured == nil || wantsOurs(err):
		if met.tlsErr != nil {
			err = met.tlsErr
		}
		seen, todo := v.tlsFault(err)
		v.Fail("TLS", seen, todo)
		return false
	}
	leaf := met.secured.PeerCertificates[0] // there is one: it was verified
	left := time.Until(leaf.NotAfter)
	seen := fmt.Sprintf("%s; %s good for %s (until %s)",
		tls.VersionName(met.secured.Version), describe(leaf), plural(int(left.Hours())/24, "more day"), leaf.NotAfter.UTC().Format(time.DateOnly))
	if left < soon {
		v.Warn("TLS", seen, "renew the certificate: when it has expired, every pull fails")
		return true
	}
	v.OK("TLS", seen)
	return true
}

// tlsFault says what a failed handshake means.
func (v *visit) tlsFault(err error) (seen, todo string) {
	var (
		verification *tls.CertificateVerificationError
		unknown      x509.UnknownAuthorityError
		name         x509.HostnameError
		invalid      x509.CertificateInvalidError
		noTLS        tls.RecordHeaderError
	)
	shown := "its certificate"
	if errors.As(err, &verification) && len(verification.UnverifiedCertificates) > 0 {
		shown = describe(verification.UnverifiedCertificates[0])
	}
	switch {
	case errors.As(err, &unknown):
		if v.TLS != nil && v.TLS.RootCAs != nil {
			return shown + " is not trusted: the authorities in ca_file did not sign it",
				"write the certificate of that issuer into the file that ca_file names (PEM)"
		}
		return shown + " is not trusted: no authority of this system signed it",
			"write the certificate of that issuer into a file (PEM) and set ca_file to it"
	case errors.As(err, &name):
		return shown + " does not name " + v.URL.Hostname(),
			"write a name that it holds into url (" + strings.Join(names(name.Certificate), ", ") + "), or give the server another certificate"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("%s is good from %s to %s, and here it is %s", shown, invalid.Cert.NotBefore.UTC().Format(time.DateOnly),
				invalid.Cert.NotAfter.UTC().Format(time.DateOnly), time.Now().UTC().Format(time.DateOnly)),
			"renew the certificate, or set the clock"
	case errors.As(err, &noTLS):
		return "what listens there does not speak TLS", "name its TLS port in url, or, if it has none and the way is safe, write http://"
	case wantsOurs(err):
		return "the server wants a client certificate", "set cert_file and key_file"
	}
	return "the handshake fails: " + withoutURL(err), "look at the server's TLS settings; TLS 1.2 is the least that is spoken"
}

// wantsOurs recognises the alert certificate_required (RFC 8446 §6.2), for
// which crypto/tls has no type. It comes after the handshake.
func wantsOurs(err error) bool {
	return err != nil && strings.Contains(err.Error(), "certificate required")
}

// describe names a certificate and its issuer.
func describe(c *x509.Certificate) string {
	subject := c.Subject.CommonName
	if subject == "" {
		subject = strings.Join(names(c), ", ")
	}
	if subject == "" {
		subject = "nobody"
	}
	issuer := c.Issuer.CommonName
	if issuer == "" {
		issuer = c.Issuer.String()
	}
	if string(c.RawIssuer) == string(c.RawSubject) {
		issuer = "itself"
	}
	return fmt.Sprintf("the certificate of %s, signed by %s,", subject, issuer)
}

// names are the hosts that a certificate is for.
func names(c *x509.Certificate) []string {
	hosts := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return hosts
}
