package access

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

// authority issues certificates in tests.
type authority struct {
	tls.Certificate
}

func newAuthority(t testing.TB, name string) authority {
	return authority{authority{}.issue(t, name, isAuthority)}
}

// issue makes a certificate for client authentication, good for an hour before and
// after now, unless a change makes it another. Without an issuer it signs itself.
func (a authority) issue(t testing.TB, name string, changes ...func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, change := range changes {
		change(template)
	}
	parent, signer := template, any(key)
	if a.Leaf != nil {
		parent, signer = a.Leaf, a.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func isAuthority(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.ExtKeyUsage = true, true, nil
	c.KeyUsage = x509.KeyUsageCertSign
}

// bundle is what an operator puts into the file.
func bundle(certificates ...tls.Certificate) string {
	var text strings.Builder
	for _, c := range certificates {
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}) // to memory
	}
	return text.String()
}

func TestAuthoritiesAreRead(t *testing.T) {
	old, next := newAuthority(t, "old"), newAuthority(t, "next")
	for name, test := range map[string]struct {
		bundle string
		want   int
	}{
		"one":           {bundle(old.Certificate), 1},
		"two":           {bundle(old.Certificate, next.Certificate), 2},
		"with comments": {"# the old one\n" + bundle(old.Certificate) + "\n# since May\r\n\r\n" + bundle(next.Certificate) + "# end", 2},
		"CRLF":          {strings.ReplaceAll(bundle(old.Certificate), "\n", "\r\n"), 1},
		"no last line":  {strings.TrimSpace(bundle(old.Certificate)), 1},
		"one twice":     {bundle(old.Certificate, old.Certificate), 2},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := parseAuthorities([]byte(test.bundle))
			if err != nil {
				t.Fatal(err)
			}
			if a.count != test.want {
				t.Errorf("%d authorities, want %d", a.count, test.want)
			}
			if _, _, err := a.verify([]*x509.Certificate{old.issue(t, "alice").Leaf}); err != nil {
				t.Errorf("a certificate of the first: %v", err)
			}
		})
	}
}

// badBundles are files that no authorities are read from, and what is said of them.
func badBundles(t testing.TB, good authority) map[string]struct{ bundle, want string } {
	one := bundle(good.Certificate)
	key, err := x509.MarshalPKCS8PrivateKey(good.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	var many []tls.Certificate
	for range 2 + longestAuthorityNames/20_000 {
		many = append(many, newAuthority(t, strings.Repeat("long", 5000)).Certificate)
	}
	return map[string]struct{ bundle, want string }{
		"empty":                 {"", "no certificate"},
		"only a comment":        {"# soon", "no certificate"},
		"not PEM":               {string(good.Certificate.Certificate[0]), "no certificate"},
		"cut":                   {one + one[:len(one)/2], "it is cut"},
		"cut at first":          {one[:len(one)/2], "it is cut"},
		"garbled between":       {one + strings.Replace(one, "M", "!", 1) + one, "it is cut"},
		"not a certificate":     {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + one, "certificate 1: x509"},
		"with a key":            {one + string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})), `entry 2 is a "PRIVATE KEY"`},
		"a client's":            {one + bundle(good.issue(t, "alice")), `certificate 2, of "CN=alice", is not an authority's`},
		"more than a handshake": {bundle(many...), "too many to name"},
	}
}

func TestBadAuthoritiesAreRefused(t *testing.T) {
	for name, test := range badBundles(t, newAuthority(t, "good")) {
		t.Run(name, func(t *testing.T) {
			a, err := parseAuthorities([]byte(test.bundle))
			if a != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want an error with %q", err, test.want)
			}
			if err != nil && len(err.Error()) > 400 {
				t.Errorf("%d bytes of error", len(err.Error()))
			}
		})
	}
}

// The most authorities that are taken can be named in a handshake.
func TestLongestAuthorityNamesFitAHandshake(t *testing.T) {
	var most []tls.Certificate
	for i := range 59 {
		most = append(most, newAuthority(t, fmt.Sprintf("%s%02d", strings.Repeat("x", 980), i)).Certificate)
	}
	c, _ := newTestCertificate(t, bundle(most...))
	server := startMTLS(t, c, whoIs(c))
	if got := server.get(t, nil); got != "403 no_certificate" {
		t.Errorf("%s, want the handshake to pass", got)
	}
}

func FuzzAuthorities(f *testing.F) {
	good := newAuthority(f, "good")
	for _, test := range badBundles(f, good) {
		if len(test.bundle) < 10_000 {
			f.Add([]byte(test.bundle))
		}
	}
	f.Add([]byte(bundle(good.Certificate, newAuthority(f, "next").Certificate)))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := parseAuthorities(data)
		if (a == nil) == (err == nil) {
			t.Fatalf("%v, %v", a, err)
		}
		if err != nil {
			return
		}
		if a.count < 1 || a.count != bytes.Count(data, []byte("-----BEGIN CERTIFICATE-----")) {
			t.Errorf("%d authorities were read from %q", a.count, data)
		}
		self := slices.ContainsFunc(pemCertificates(data), func(c *x509.Certificate) bool { return !c.IsCA })
		if self {
			t.Errorf("somebody who is no authority was read from %q", data)
		}
	})
}

func pemCertificates(data []byte) (found []*x509.Certificate) {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			found = append(found, c)
		}
	}
	return found
}
