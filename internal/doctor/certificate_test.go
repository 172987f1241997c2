package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"testing"
	"time"

	"breakwater/internal/harbortest"
)

const day = 24 * time.Hour

// certificate is one that signed itself, good for 127.0.0.1 and a year unless
// change says otherwise.
func certificate(t *testing.T, change func(*x509.Certificate)) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "harbor.example.com"},
		NotBefore: time.Now().Add(-40 * day), NotAfter: time.Now().Add(365 * day),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	change(c)
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// newSecured starts the Harbor with a server that shows that certificate, which the
// doctor is told to trust.
func newSecured(t *testing.T, harbor *harbortest.Harbor, change func(*x509.Certificate), demand tls.ClientAuthType) *world {
	t.Helper()
	shown, authority := certificate(t, change)
	w := &world{harbor: harbor, tls: trusting(t, authority)}
	server := httptest.NewUnstartedServer(w.harbor)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes that fail are what is looked at
	server.TLS = &tls.Config{Certificates: []tls.Certificate{shown}, ClientAuth: demand}
	server.StartTLS()
	t.Cleanup(server.Close)
	w.url = server.URL
	w.as(harbortest.Puller)
	return w
}

func TestCertificates(t *testing.T) {
	harbor := seeded(t)
	for name, c := range map[string]struct {
		change func(*x509.Certificate)
		demand tls.ClientAuthType
		apply  func(*testing.T, *world)
		fine   bool
		lines  []string
	}{
		"good for a year": {fine: true, lines: []string{
			"ok    TLS        TLS 1.3; the certificate of harbor.example.com, signed by itself, good for 364 more days (until DATE)", "ok    manifest"}},
		"expiring": {change: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(10*day + time.Hour) }, fine: true, lines: []string{
			"warn  TLS", "good for 10 more days", "to do: renew the certificate", "ok    manifest", "with 1 warning"}},
		"expired": {change: func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-day) }, lines: []string{
			"FAIL  TLS", "is good from DATE to DATE, and here it is DATE", "to do: renew", "skip  the rest"}},
		"of another host": {change: func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"harbor.test", "hub.test"} }, lines: []string{
			"FAIL  TLS        the certificate of harbor.example.com, signed by itself, does not name 127.0.0.1",
			"to do: write a name that it holds into url (harbor.test, hub.test)"}},
		"of an authority that ca_file lacks": {apply: func(t *testing.T, w *world) {
			_, other := certificate(t, func(*x509.Certificate) {})
			w.tls = trusting(t, other)
		}, lines: []string{"FAIL  TLS", "is not trusted: the authorities in ca_file did not sign it", "to do: write the certificate of that issuer into the file"}},
		"of an authority that the system lacks": {apply: func(_ *testing.T, w *world) { w.tls = nil }, lines: []string{
			"FAIL  TLS", "is not trusted: no authority of this system signed it", "set ca_file"}},
		"ours is wanted": {demand: tls.RequireAnyClientCert, lines: []string{
			"ok    address", "FAIL  TLS        the server wants a client certificate", "to do: set cert_file and key_file"}},
	} {
		t.Run(name, func(t *testing.T) {
			change := c.change
			if change == nil {
				change = func(*x509.Certificate) {}
			}
			w := newSecured(t, harbor, change, c.demand)
			if c.apply != nil {
				c.apply(t, w)
			}
			seen := w.check(t, app)
			seen.isFine(c.fine)
			seen.has(c.lines...)
		})
	}
}

func TestWrongScheme(t *testing.T) {
	plain := newHarbor(t)
	plain.url = "https" + plain.url[len("http"):]
	seen := plain.check(t, app)
	seen.isFine(false)
	seen.has("FAIL  TLS        what listens there does not speak TLS", "to do: name its TLS port")

	secured := newSecured(t, plain.harbor, func(*x509.Certificate) {}, tls.NoClientCert)
	secured.url = "http" + secured.url[len("https"):]
	seen = secured.check(t, app)
	seen.isFine(false)
	seen.has("FAIL  challenge", "400", "to do: if that is a TLS port, write https:// in url")
}
