package access

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// refusals and results, as they are counted.
type counted struct {
	mu      sync.Mutex // guards the rest
	refused map[Why]int
	checked map[Result]int
}

func newCounted() *counted {
	return &counted{refused: make(map[Why]int), checked: make(map[Result]int)}
}

func (c *counted) ClientRefused(_ string, why Why) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refused[why]++
}

func (c *counted) CredentialsChecked(_ string, result Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked[result]++
}

func (c *counted) checks() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.checked[Accepted] + c.checked[Rejected]
}

func (c *counted) of(why Why) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused[why]
}

// authoritiesFile is what the operator wrote last.
type authoritiesFile struct {
	*counted
	text atomic.Pointer[string]
}

func newTestCertificate(t testing.TB, bundle string) (*Certificate, *authoritiesFile) {
	t.Helper()
	file := &authoritiesFile{counted: newCounted()}
	file.text.Store(&bundle)
	c, err := NewCertificate(CertificateOptions{
		Read: func() ([]byte, error) { return []byte(*file.text.Load()), nil }, Listener: "test", Events: file,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, file
}

// presenting is a request on a connection for registry.example.com.
func presenting(chain ...tls.Certificate) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://registry.example.com/v2/", nil)
	r.TLS = &tls.ConnectionState{ServerName: "registry.example.com"}
	for _, c := range chain {
		r.TLS.PeerCertificates = append(r.TLS.PeerCertificates, c.Leaf)
	}
	return r
}

// told is what a client got: its subject, or the word and what it reads.
func told(c *Certificate, r *http.Request) string {
	client, err := c.Authenticate(r.Context(), r)
	refusal, ok := err.(*Refusal)
	switch {
	case ok && client.Subject == "":
		return http.StatusText(refusal.Answer.Status) + " " + string(refusal.Why) + ": " + refusal.Answer.Message
	case err == nil:
		return client.Subject
	}
	return "neither a client nor a refusal"
}

func TestCertificates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trusted, other := newAuthority(t, "trusted"), newAuthority(t, "other")
		late := authority{authority{}.issue(t, "late", isAuthority, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })}
		middle := authority{trusted.issue(t, "middle", isAuthority)}
		person := authority{trusted.issue(t, "person")}
		impostor := newAuthority(t, "trusted") // the same name, another key
		with := func(change func(*x509.Certificate)) tls.Certificate { return trusted.issue(t, "alice", change) }
		usage := func(usages ...x509.ExtKeyUsage) tls.Certificate {
			return with(func(c *x509.Certificate) { c.ExtKeyUsage = usages })
		}
		var long []tls.Certificate
		for range longestChain + 1 {
			long = append(long, trusted.issue(t, "alice"))
		}
		large := with(func(c *x509.Certificate) { c.DNSNames = []string{strings.Repeat("x", largestChain)} })
		const (
			unknown  = "Forbidden bad_certificate: your client certificate is of no authority that this registry trusts: present another one"
			expired  = "Forbidden bad_certificate: your client certificate has expired, or is not valid yet: present another one"
			unusable = "Forbidden bad_certificate: your client certificate is not for client authentication: present another one"
			nameless = "Forbidden bad_certificate: your client certificate has no name to know you by: present another one"
			opaque   = "Forbidden bad_certificate: your client certificate cannot be verified: present another one"
			much     = "Forbidden bad_certificate: present your client certificate with its intermediates only: at most 8 certificates and 32 KiB"
			none     = "Forbidden no_certificate: present a client certificate of an authority that this registry trusts"
		)
		for name, test := range map[string]struct {
			chain []tls.Certificate
			want  string
		}{
			"right":                      {[]tls.Certificate{trusted.issue(t, "alice")}, "alice"},
			"for client and server":      {[]tls.Certificate{usage(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)}, "alice"},
			"for anything":               {[]tls.Certificate{usage(x509.ExtKeyUsageAny)}, "alice"},
			"usage not restricted":       {[]tls.Certificate{usage()}, "alice"},
			"via an intermediate":        {[]tls.Certificate{middle.issue(t, "alice"), middle.Certificate}, "alice"},
			"the root sent as well":      {[]tls.Certificate{middle.issue(t, "alice"), middle.Certificate, trusted.Certificate}, "alice"},
			"intermediate not presented": {[]tls.Certificate{middle.issue(t, "alice")}, unknown},
			"via a person":               {[]tls.Certificate{person.issue(t, "alice"), person.Certificate}, unknown},
			"another authority":          {[]tls.Certificate{other.issue(t, "alice")}, unknown},
			"its own authority with it":  {[]tls.Certificate{other.issue(t, "alice"), other.Certificate}, unknown},
			"an authority of that name":  {[]tls.Certificate{impostor.issue(t, "alice"), trusted.Certificate}, unknown},
			"self-signed":                {[]tls.Certificate{authority{}.issue(t, "alice")}, unknown},
			"expired":                    {[]tls.Certificate{with(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Second) })}, expired},
			"not valid yet":              {[]tls.Certificate{with(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Second) })}, expired},
			"its authority expired":      {[]tls.Certificate{late.issue(t, "alice")}, expired},
			"for servers only":           {[]tls.Certificate{usage(x509.ExtKeyUsageServerAuth)}, unusable},
			"for mail":                   {[]tls.Certificate{usage(x509.ExtKeyUsageEmailProtection)}, unusable},
			"critical and unknown": {[]tls.Certificate{with(func(c *x509.Certificate) {
				c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
			})}, opaque},
			"nobody's":           {[]tls.Certificate{trusted.issue(t, "")}, nameless},
			"a group's":          {[]tls.Certificate{trusted.issue(t, "", func(c *x509.Certificate) { c.Subject.Organization = []string{"builders"} })}, nameless},
			"control characters": {[]tls.Certificate{trusted.issue(t, "alice\nbob")}, nameless},
			"a name without end": {[]tls.Certificate{trusted.issue(t, strings.Repeat("a", 256))}, nameless},
			"none":               {nil, none},
			"a long chain":       {long, much},
			"a large one":        {[]tls.Certificate{large}, much},
		} {
			c, events := newTestCertificate(t, bundle(trusted.Certificate, late.Certificate))
			for range 2 { // the second time it is remembered
				if got := told(c, presenting(test.chain...)); got != test.want {
					t.Errorf("%s: %s, want %s", name, got, test.want)
				}
			}
			checks := 1
			if test.want == none || test.want == much {
				checks = 0
			}
			if got := events.checks(); got != checks {
				t.Errorf("%s: verified %d times, want %d", name, got, checks)
			}
		}
	})
}

// The cause is for the log, and says whose certificate it was, in few words.
func TestBadCertificateInTheLog(t *testing.T) {
	c, _ := newTestCertificate(t, bundle(newAuthority(t, "trusted").Certificate))
	long := strings.Repeat("x", 5000)
	r := presenting(newAuthority(t, "other"+long).issue(t, "alice"+long))
	_, err := c.Authenticate(t.Context(), r)
	for _, want := range []string{"CN=alicexxx", "CN=otherxxx", "unknown authority"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	if len(err.Error()) > 1000 {
		t.Errorf("%d bytes for the log", len(err.Error()))
	}
}

func TestWhomACertificateNames(t *testing.T) {
	trusted := newAuthority(t, "trusted")
	id := &url.URL{Scheme: "spiffe", Host: "example.com", Path: "/ns/ci/sa/builder"}
	for name, test := range map[string]struct {
		certificate tls.Certificate
		want        Client
	}{
		"common name": {trusted.issue(t, "alice"), Client{Subject: "alice"}},
		"all": {trusted.issue(t, "node-1", func(c *x509.Certificate) {
			c.Subject.Organization = []string{"builders", "system:nodes"}
			c.DNSNames, c.EmailAddresses = []string{"node-1.example.com", "node-1"}, []string{"node@example.com"}
			c.IPAddresses, c.URIs = []net.IP{net.ParseIP("192.0.2.1"), net.ParseIP("2001:db8::1")}, []*url.URL{id}
		}), Client{
			Subject: "node-1", Groups: []string{"builders", "system:nodes"},
			Names: []string{"node-1.example.com", "node-1", "192.0.2.1", "2001:db8::1", "node@example.com", id.String()},
		}},
		"no common name": {trusted.issue(t, "", func(c *x509.Certificate) { c.URIs = []*url.URL{id} }),
			Client{Subject: id.String(), Names: []string{id.String()}}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := newTestCertificate(t, bundle(trusted.Certificate))
			r := presenting(test.certificate)
			if client, err := c.Authenticate(t.Context(), r); err != nil || !reflect.DeepEqual(client, test.want) {
				t.Errorf("%+v, %v, want %+v", client, err, test.want)
			}
		})
	}
}

func TestHostIsTheConnections(t *testing.T) {
	trusted := newAuthority(t, "trusted")
	c, _ := newTestCertificate(t, bundle(trusted.Certificate))
	alice := trusted.issue(t, "alice")
	for _, test := range []struct {
		name, host string
		directed   bool
	}{
		{"registry.example.com", "registry.example.com", true},
		{"registry.example.com", "registry.example.com:5443", true},
		{"registry.example.com", "Registry.EXAMPLE.com.:5443", true},
		{"Registry.example.com", "registry.example.com", true},
		{"localhost", "localhost:5443", true},
		{"", "192.0.2.1:5443", true},
		{"", "192.0.2.1", true},
		{"", "[2001:db8::1]:5443", true},
		{"", "[2001:db8::1]", true},
		{"", "[fe80::1%25eth0]:5443", true},
		{"registry.example.com", "other.example.com", false},
		{"registry.example.com", "example.com", false},
		{"registry.example.com", "registry.example.com.evil.example", false},
		{"registry.example.com", "192.0.2.1:5443", false},
		{"", "registry.example.com", false},
		{"registry.example.com", "", false},
		{"", "", false},
		{"", ":5443", false},
		{"", ".", false},
	} {
		t.Run(test.name+"<"+test.host, func(t *testing.T) {
			r := presenting(alice)
			r.TLS.ServerName, r.Host = test.name, test.host
			want := "alice"
			if !test.directed {
				want = "Misdirected Request misdirected: this connection was opened for another host than the request is for: open one for that host"
			}
			if got := told(c, r); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			// Another connection may show a certificate: that comes first.
			r.TLS.PeerCertificates = nil
			if got := told(c, r); strings.HasPrefix(got, "Misdirected") == test.directed {
				t.Errorf("%s without a certificate", got)
			}
		})
	}
}

func TestPlainHTTPHasNoCertificate(t *testing.T) {
	c, _ := newTestCertificate(t, bundle(newAuthority(t, "trusted").Certificate))
	r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	r.TLS = nil
	if got, want := told(c, r), "Forbidden no_certificate: this registry wants a client certificate: connect by https"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestCertificateIsVerifiedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trusted := newAuthority(t, "trusted")
		c, events := newTestCertificate(t, bundle(trusted.Certificate))
		alice := trusted.issue(t, "alice", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(150 * time.Second) })
		for second := range 200 {
			want := "alice"
			if second > 150 { // the last second of its life is valid too
				want = "Forbidden bad_certificate: your client certificate has expired, or is not valid yet: present another one"
			}
			if got := told(c, presenting(alice)); got != want {
				t.Fatalf("after %d s: %s, want %s", second, got, want)
			}
			time.Sleep(time.Second)
		}
		// At 0, 60, 120 and 150 s, and refused at 151 s and every 5 s from then on.
		if events.checked[Accepted] != 4 || events.checked[Rejected] != 10 {
			t.Errorf("verified %v times", events.checked)
		}
	})
}

// No verdict outlives an intermediate of its chain either.
func TestIntermediateExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trusted := newAuthority(t, "trusted")
		middle := authority{trusted.issue(t, "middle", isAuthority, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(10 * time.Second) })}
		c, _ := newTestCertificate(t, bundle(trusted.Certificate))
		alice := middle.issue(t, "alice")
		if got := told(c, presenting(alice, middle.Certificate)); got != "alice" {
			t.Fatal(got)
		}
		time.Sleep(11 * time.Second)
		if got := told(c, presenting(alice, middle.Certificate)); got == "alice" {
			t.Error("alice is let in although the intermediate expired a second ago")
		}
	})
}

// What is remembered of a chain says nothing about its leaf with another one.
func TestVerdictIsOfTheWholeChain(t *testing.T) {
	trusted := newAuthority(t, "trusted")
	middle := authority{trusted.issue(t, "middle", isAuthority)}
	c, _ := newTestCertificate(t, bundle(trusted.Certificate))
	alice := middle.issue(t, "alice")
	for _, test := range []struct {
		chain []tls.Certificate
		in    bool
	}{
		{[]tls.Certificate{alice}, false},
		{[]tls.Certificate{alice, trusted.Certificate}, false},
		{[]tls.Certificate{alice, middle.Certificate}, true},
	} {
		if got := told(c, presenting(test.chain...)); (got == "alice") != test.in {
			t.Errorf("with %d certificates: %s", len(test.chain), got)
		}
	}
}

func TestReloadedAuthorities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, next := newAuthority(t, "old"), newAuthority(t, "next")
		c, file := newTestCertificate(t, bundle(old.Certificate))
		alice, bob := old.issue(t, "alice"), next.issue(t, "bob")
		expect := func(when string, a, b bool) {
			t.Helper()
			if got := told(c, presenting(alice)); (got == "alice") != a {
				t.Errorf("%s, of the old authority: %s", when, got)
			}
			if got := told(c, presenting(bob)); (got == "bob") != b {
				t.Errorf("%s, of the next authority: %s", when, got)
			}
		}
		write := func(text string) {
			t.Helper()
			file.text.Store(&text)
			if err := c.Reload(); err != nil {
				t.Error(err)
			}
		}
		expect("at first", true, false)
		write(bundle(old.Certificate, next.Certificate))
		expect("with both", true, true) // although bob's refusal is younger than 5 s
		write(bundle(next.Certificate))
		expect("with the next", false, true) // although alice's verdict is younger than a minute
	})
}

func TestBadFileLeavesTheOldAuthorities(t *testing.T) {
	trusted := newAuthority(t, "trusted")
	alice := trusted.issue(t, "alice")
	for name, test := range badBundles(t, trusted) {
		t.Run(name, func(t *testing.T) {
			c, file := newTestCertificate(t, bundle(trusted.Certificate))
			file.text.Store(&test.bundle)
			if err := c.Reload(); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want an error with %q", err, test.want)
			}
			if got := told(c, presenting(alice)); got != "alice" {
				t.Error(got)
			}
			if _, err := NewCertificate(c.options); err == nil {
				t.Error("a mode was made of it")
			}
		})
	}
}
