package access

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

const registryHost = "registry.example.com"

// mtlsServer is a server as the listener of a certificate mode is.
type mtlsServer struct {
	address string
	roots   *x509.CertPool
}

func startMTLS(t *testing.T, c *Certificate, handler http.Handler) *mtlsServer {
	t.Helper()
	own := newAuthority(t, "servers")
	shown := own.issue(t, "", func(c *x509.Certificate) {
		c.DNSNames, c.IPAddresses = []string{registryHost, "other.example.com"}, []net.IP{net.IPv4(127, 0, 0, 1)}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &shown, nil },
	}}
	c.Ask(server.TLSConfig)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.ServeTLS(listener, "", ""); err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = server.Close()
		serving.Wait()
	})
	roots := x509.NewCertPool()
	roots.AddCert(own.Leaf)
	return &mtlsServer{listener.Addr().String(), roots}
}

// whoIs answers with the status and the subject or the word.
func whoIs(c *Certificate) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, err := c.Authenticate(r.Context(), r)
		if refusal, ok := err.(*Refusal); ok {
			w.WriteHeader(refusal.Answer.Status)
			client.Subject = string(refusal.Why)
		}
		fmt.Fprint(w, client.Subject)
	})
}

// client presents whatever it has, not only what the server has authorities for.
func (s *mtlsServer) client(t *testing.T, certificate *tls.Certificate, settings *tls.Config) *http.Client {
	t.Helper()
	settings.RootCAs = s.roots
	if certificate != nil {
		settings.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	var dialer net.Dialer
	transport := &http.Transport{TLSClientConfig: settings, ForceAttemptHTTP2: len(settings.NextProtos) == 0,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, s.address)
		}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (s *mtlsServer) get(t *testing.T, certificate *tls.Certificate) string {
	t.Helper()
	return get(t, s.client(t, certificate, &tls.Config{}), registryHost, "")
}

// get asks, on a connection for one host, for another one if that is given.
func get(t *testing.T, client *http.Client, host, another string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/v2/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = another
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(resp.StatusCode, " ", string(body))
}

func TestMTLSConversation(t *testing.T) {
	trusted := newAuthority(t, "trusted")
	middle := authority{trusted.issue(t, "middle", isAuthority)}
	c, _ := newTestCertificate(t, bundle(trusted.Certificate))
	server := startMTLS(t, c, whoIs(c))
	alice, stranger, below := trusted.issue(t, "alice"), newAuthority(t, "other").issue(t, "alice"), middle.issue(t, "alice")
	below.Certificate = append(below.Certificate, middle.Certificate.Certificate...)
	for name, test := range map[string]struct {
		certificate   *tls.Certificate
		host, another string
		want          string
	}{
		"right":               {&alice, registryHost, "", "200 alice"},
		"via an intermediate": {&below, registryHost, "", "200 alice"},
		"other authority":     {&stranger, registryHost, "", "403 bad_certificate"},
		"none":                {nil, registryHost, "", "403 no_certificate"},
		"other host":          {&alice, registryHost, "other.example.com", "421 misdirected"},
		"same host, a port":   {&alice, registryHost, registryHost + ":5443", "200 alice"},
		"by address":          {&alice, "127.0.0.1", "", "200 alice"},
		"a name by address":   {&alice, "127.0.0.1", registryHost, "421 misdirected"},
	} {
		for protocol, settings := range map[string]*tls.Config{
			"HTTP/2":   {},
			"HTTP/1.1": {NextProtos: []string{"http/1.1"}},
			"TLS 1.2":  {MaxVersion: tls.VersionTLS12},
		} {
			t.Run(name+", "+protocol, func(t *testing.T) {
				if got := get(t, server.client(t, test.certificate, settings.Clone()), test.host, test.another); got != test.want {
					t.Errorf("%s, want %s", got, test.want)
				}
			})
		}
	}
}

// Both protocols are offered still, though each handshake has a configuration of its
// own.
func TestAskedClientsMaySpeakHTTP2(t *testing.T) {
	trusted := newAuthority(t, "trusted")
	c, _ := newTestCertificate(t, bundle(trusted.Certificate))
	server := startMTLS(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }))
	for protocol, settings := range map[string]*tls.Config{"HTTP/2.0": {}, "HTTP/1.1": {NextProtos: []string{"http/1.1"}}} {
		if got := get(t, server.client(t, nil, settings), registryHost, ""); got != "200 "+protocol {
			t.Errorf("%s, want %s", got, protocol)
		}
	}
}

// An authority that is removed cuts off whom it named, on an open connection too,
// and a resumed session brings back nobody.
func TestRotationOnOpenConnections(t *testing.T) {
	old, next := newAuthority(t, "old"), newAuthority(t, "next")
	c, file := newTestCertificate(t, bundle(old.Certificate))
	var mu sync.Mutex                    // guards connections
	connections := make(map[string]bool) // by the client's address
	server := startMTLS(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		connections[r.RemoteAddr] = true
		mu.Unlock()
		whoIs(c).ServeHTTP(w, r)
	}))
	alice, bob := old.issue(t, "alice"), next.issue(t, "bob")
	sessions := &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	client := server.client(t, &alice, sessions)
	expect := func(want string) {
		t.Helper()
		if got := get(t, client, registryHost, ""); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	expect("200 alice")
	expect("200 alice")

	both := bundle(old.Certificate, next.Certificate)
	file.text.Store(&both)
	if err := c.Reload(); err != nil {
		t.Fatal(err)
	}
	expect("200 alice")
	if got := server.get(t, &bob); got != "200 bob" {
		t.Error(got)
	}

	only := bundle(next.Certificate)
	file.text.Store(&only)
	if err := c.Reload(); err != nil {
		t.Fatal(err)
	}
	expect("403 bad_certificate")
	mu.Lock()
	if len(connections) != 2 {
		t.Errorf("%d connections, want alice's and bob's: it was not seen on an open one", len(connections))
	}
	mu.Unlock()
	client.CloseIdleConnections()
	expect("403 bad_certificate")
}

// A client with several certificates is told which authorities are trusted, as they
// are now.
func TestAuthoritiesAreNamedInTheHandshake(t *testing.T) {
	old, next := newAuthority(t, "old"), newAuthority(t, "next")
	c, file := newTestCertificate(t, bundle(old.Certificate))
	server := startMTLS(t, c, whoIs(c))
	both := &tls.Config{Certificates: []tls.Certificate{old.issue(t, "by-old"), next.issue(t, "by-next")}}
	if got := get(t, server.client(t, nil, both.Clone()), registryHost, ""); got != "200 by-old" {
		t.Error(got)
	}
	only := bundle(next.Certificate)
	file.text.Store(&only)
	if err := c.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := get(t, server.client(t, nil, both.Clone()), registryHost, ""); got != "200 by-next" {
		t.Error(got)
	}
	var named [][]byte
	settings := &tls.Config{GetClientCertificate: func(asked *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		named = asked.AcceptableCAs
		return &tls.Certificate{}, nil
	}}
	if got := get(t, server.client(t, nil, settings), registryHost, ""); got != "403 no_certificate" {
		t.Error(got)
	}
	if !slices.EqualFunc(named, [][]byte{next.Leaf.RawSubject}, bytes.Equal) {
		t.Errorf("%q are named, want the next authority", named)
	}
}

// Files change while clients come.
func TestReloadingUnderLoad(t *testing.T) {
	trusted, other := newAuthority(t, "trusted"), newAuthority(t, "other")
	c, file := newTestCertificate(t, bundle(trusted.Certificate))
	alice := trusted.issue(t, "alice")
	texts := []string{bundle(trusted.Certificate), bundle(trusted.Certificate, other.Certificate), "broken"}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				if got := told(c, presenting(alice)); got != "alice" {
					t.Error(got)
				}
			}
		})
	}
	for i := range 60 {
		file.text.Store(&texts[i%3])
		if err := c.Reload(); (err != nil) != (i%3 == 2) || err != nil && strings.Contains(err.Error(), "broken") {
			t.Error(i, err)
		}
	}
	all.Wait()
}
