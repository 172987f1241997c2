package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"breakwater/config"
)

// upstreamTLS reads an upstream's authorities, which are trusted besides the
// system's, and the client certificate that it is shown.
func upstreamTLS(u config.Upstream) (*tls.Config, error) {
	roots, err := authorities(u.CAFile)
	if err != nil {
		return nil, fmt.Errorf("upstreams.%s.ca_file: %w", u.Name, err)
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	if u.CertFile != "" {
		certificate, err := tls.LoadX509KeyPair(u.CertFile, u.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("upstreams.%s.cert_file: %w", u.Name, err)
		}
		settings.Certificates = []tls.Certificate{certificate}
	}
	return settings, nil
}

// authorities are those of the file besides the system's; without a file nil, which
// means the system's.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	bundle, err := config.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("the system's certificate authorities cannot be read: %w", err)
	}
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("no certificate in %s", file)
	}
	return roots, nil
}

// issuerClient asks an issuer of tokens for its keys.
func issuerClient(caFile string) (*http.Client, error) {
	roots, err := authorities(caFile)
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
	}}, nil
}

// certificate is what clients of a listener are shown; it follows its files.
type certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

func (c *certificate) files() []string { return []string{c.certFile, c.keyFile} }

// expires is when clients begin to refuse it.
func (c *certificate) expires() time.Time { return c.current.Load().Leaf.NotAfter }

// reload reads the files again. After an error the old certificate stays in use.
func (c *certificate) reload() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	c.current.Store(&pair)
	return nil
}

// config is what the listener is served with.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
