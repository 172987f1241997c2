//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An authority vouches for servers or clients.
type authority struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

// A certificate is one that an authority issued, with its key, in PEM form.
type certificate struct{ cert, key []byte }

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	return &authority{signed(t, template, template, key, key), key}
}

// signed makes a certificate that is valid for an hour.
func signed(t *testing.T, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template.SerialNumber = must(rand.Int(rand.Reader, big.NewInt(1<<62)))(t)
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	der := must(x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by))(t)
	return must(x509.ParseCertificate(der))(t)
}

// server is a certificate for an IP address, and for the name breakwater.test.
func server(host string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: host}, IPAddresses: []net.IP{net.ParseIP(host)}, DNSNames: []string{"breakwater.test"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

// node is a certificate for a client.
func node(name string, groups ...string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: name, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
}

func (a *authority) issue(t *testing.T, template *x509.Certificate) certificate {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	der := must(x509.MarshalPKCS8PrivateKey(key))(t)
	return certificate{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed(t, template, a.Certificate, key, a.key).Raw}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}
}

// files writes the certificate and its key as NAME.cert and NAME.key, which is what
// Docker's and podman's folders of certificates want.
func (c certificate) files(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	cert, key = filepath.Join(dir, name+".cert"), filepath.Join(dir, name+".key")
	mustDo(t, os.WriteFile(cert, c.cert, 0o600))
	mustDo(t, os.WriteFile(key, c.key, 0o600))
	return cert, key
}

// writeTo writes the authority's certificate as ca.crt into a folder.
func (a *authority) writeTo(t *testing.T, dir string) (file string) {
	t.Helper()
	file = filepath.Join(dir, "ca.crt")
	mustDo(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Raw}), 0o600))
	return file
}

// trusting is the TLS of a client that trusts the authority.
func (a *authority) trusting(certificates ...tls.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate)
	return &tls.Config{RootCAs: roots, Certificates: certificates}
}
