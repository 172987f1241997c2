package proxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"breakwater/internal/pattern"
	"breakwater/proxy/access"

	"golang.org/x/crypto/bcrypt"
)

// who asks.
type who string

const (
	nobody   who = "nobody"                // does not say who it is
	impostor who = "wrong credentials"     // says what is not true
	other    who = "right, not allowed"    // is known, and may pull what everybody may
	allowed  who = "right and allowed"     // is known, and may pull from team-a
	client       = "correct-horse-battery" // a password
)

// everybody, those that are let in last: what they pull is held from then on.
var everybody = []who{nobody, impostor, other, allowed}

// listener is one with an access mode, before which everybody stands.
type listener struct {
	mode  access.Mode
	allow access.Policy
	say   map[who]func(*http.Request) // how each asks
	// stranger is what nobody and impostor are answered; 0 where all are alike.
	stranger int
	asks     bool // Harbor, who somebody is
}

// listeners are one for each access mode. They are made within a bubble: certificates
// and tokens are of its time.
var listeners = map[string]func(*bubble) listener{
	"anonymous": anonymousListener,
	"password":  passwordListener,
	"mtls":      certificateListener,
	"token":     tokenListener,
	"harbor":    harborListener,
}

// rules allow one client to pull from team-a, and everybody from library.
func rules(subject string) access.Policy {
	return access.Policy{
		{Subjects: pattern.All(subject), Pull: pattern.All("harbor.example.com/team-a/**")},
		{Anyone: true, Pull: pattern.All("harbor.example.com/library/**")},
	}
}

// gateOf puts a gate before the bubble's Breakwater.
func (b *bubble) gateOf(l listener) {
	b.gate = access.New(access.Options{
		Listener: "test", Mode: l.mode, Allow: l.allow, Events: b.events,
		Limits: access.Limits{Connections: 1 << 20, AddressPulls: 1 << 20, SubjectPulls: 1 << 20},
	})
}

// closing ends the mode with the bubble.
func closing[M access.Mode](b *bubble, mode M, err error) M {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	b.ending = append(b.ending, mode.Close)
	return mode
}

func anonymousListener(*bubble) listener {
	ours := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} // httptest's clients
	return listener{
		mode:  access.NewAnonymous(ours),
		allow: access.Policy{{Anyone: true, Pull: pattern.All("harbor.example.com/team-a/**", "harbor.example.com/library/**")}},
		say: map[who]func(*http.Request){
			nobody:   func(*http.Request) {},
			impostor: basic("alice", "wrong-"+client),
			other:    basic("bob", client),
			allowed:  basic("alice", client),
		},
	}
}

func passwordListener(b *bubble) listener {
	mode, err := access.NewPassword(access.PasswordOptions{
		Read:     func() ([]byte, error) { return htpasswd("alice", "bob") },
		Listener: "test", Events: b.events, Log: b.newLog(),
	})
	return listener{
		mode: closing(b, mode, err), allow: rules("alice"), stranger: http.StatusUnauthorized,
		say: map[who]func(*http.Request){
			nobody:   basic("", ""), // as podman's library says that it has none
			impostor: basic("alice", "wrong-"+client),
			other:    basic("bob", client),
			allowed:  basic("alice", client),
		},
	}
}

// htpasswd is a file in which all have the same password.
func htpasswd(users ...string) ([]byte, error) {
	var file []byte
	for _, user := range users {
		hash, err := bcrypt.GenerateFromPassword([]byte(client), bcrypt.MinCost)
		if err != nil {
			return nil, err
		}
		file = append(file, user+":"+string(hash)+"\n"...)
	}
	return file, nil
}

func certificateListener(b *bubble) listener {
	trusted, stranger := newAuthority(b.T), newAuthority(b.T)
	mode, err := access.NewCertificate(access.CertificateOptions{
		Read:     func() ([]byte, error) { return trusted.pem(), nil },
		Listener: "test", Events: b.events, Log: b.newLog(),
	})
	return listener{
		mode: closing(b, mode, err), allow: rules("alice"), stranger: http.StatusForbidden,
		say: map[who]func(*http.Request){
			nobody:   presenting(),
			impostor: presenting(stranger.issue(b.T, "alice")),
			other:    presenting(trusted.issue(b.T, "bob")),
			allowed:  presenting(trusted.issue(b.T, "alice")),
		},
	}
}

func basic(username, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(username, password) }
}

// presenting is how a request looks on a TLS connection for its host.
func presenting(chain ...*x509.Certificate) func(*http.Request) {
	return func(r *http.Request) {
		r.TLS = &tls.ConnectionState{HandshakeComplete: true, ServerName: r.Host, PeerCertificates: chain}
	}
}

// authority issues client certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{key: key}
	a.certificate = a.signed(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, key)
	return a
}

func (a authority) issue(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return a.signed(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, key)
}

// signed by the authority, or by itself while it is none yet.
func (a authority) signed(t *testing.T, template *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(1)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	parent := a.certificate
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}
