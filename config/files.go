package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
)

// validateFiles reports what is wrong with the files and variables that c names,
// as they are now. They may be replaced later: whoever uses them reads them
// again.
func (c Config) validateFiles(r *report) {
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		c.Upstreams[name].validateFiles(r, join("upstreams", name))
	}
	for i, l := range c.Listeners {
		l.validateFiles(r, fmt.Sprintf("listeners[%d]", i))
	}
	for _, variable := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		validateProxy(r, variable)
	}
}

// validateProxy refuses a proxy that net/http would pass over in silence. The
// value is not shown: it may hold a password.
func validateProxy(r *report, variable string) {
	value := os.Getenv(variable)
	if value == "" {
		return
	}
	if !strings.Contains(value, "://") {
		value = "http://" + value // as net/http reads "host:port"
	}
	u, err := url.Parse(value)
	if err != nil || u.Hostname() == "" {
		r.problem(variable, "in the environment is not the address of a proxy, and nothing would go through it",
			"write http://host:port, with percent-encoding in a password, or unset it")
	}
}

func (u Upstream) validateFiles(r *report, at string) {
	switch {
	case u.PasswordFile != "":
		u.validateSecret(r, at+".password_file")
	case u.PasswordEnv != "":
		u.validateSecret(r, at+".password_env")
	}
	validateFile(r, at+".bearer_token_file", u.BearerTokenFile, bearer)
	validateFile(r, at+".ca_file", u.CAFile, authorities)
	validateKeyPair(r, at, u.CertFile, u.KeyFile)
}

func (l Listener) validateFiles(r *report, at string) {
	if l.TLS != nil {
		validateKeyPair(r, at+".tls", l.TLS.CertFile, l.TLS.KeyFile)
	}
	if l.Password != nil {
		validateFile(r, at+".password.htpasswd_file", l.Password.HtpasswdFile, readable)
	}
	if l.MTLS != nil {
		validateFile(r, at+".mtls.ca_file", l.MTLS.CAFile, authorities)
	}
	for i, issuer := range l.Token {
		at := issuerAt(r, at+".token", i)
		validateFile(r, at+".ca_file", issuer.CAFile, authorities)
		validateFile(r, at+".jwks_file", issuer.JWKSFile, readable)
		validateFile(r, at+".bearer_token_file", issuer.BearerTokenFile, bearer)
	}
}

// validateFile reports what is wrong with a file, if one is named, and was not found
// to be no name of a file.
func validateFile(r *report, path, file string, wrong func(file string) *mistake) {
	if file != "" && !r.reported[path] {
		r.wrong(path, wrong(file))
	}
}

// readable is for files whose content is looked at by who uses them.
func readable(path string) *mistake {
	_, m := regularFile(path, maxDocument)
	return m
}

// bearer is what is wrong with a file that should hold a token.
func bearer(path string) *mistake {
	_, m := readBearerToken(path)
	return m
}

func (u Upstream) validateSecret(r *report, path string) {
	if r.reported[path] {
		return
	}
	_, m := u.password()
	r.wrong(path, m)
}

// authorities is what is wrong with a bundle of CA certificates. Go's own
// CertPool passes over a damaged certificate in silence.
func authorities(path string) *mistake {
	rest, m := regularFile(path, maxDocument)
	if m != nil {
		return m
	}
	for count := 0; ; count++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			if count == 0 {
				return &mistake{path + " holds no certificate in PEM form", "give it one or more CERTIFICATE blocks"}
			}
			return nil
		}
		if block.Type != "CERTIFICATE" {
			return &mistake{fmt.Sprintf("%s holds a %s", path, shown(block.Type)), "keep only CERTIFICATE blocks in it"}
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return &mistake{fmt.Sprintf("certificate %d in %s is damaged: %v", count+1, path, err), "replace it"}
		}
	}
}

// validateKeyPair looks at the cert_file and key_file of the section at the path at.
func validateKeyPair(r *report, at, certFile, keyFile string) {
	certAt, keyAt := at+".cert_file", at+".key_file"
	if certFile == "" || keyFile == "" || r.reported[certAt] || r.reported[keyAt] {
		return
	}
	certificate, m := regularFile(certFile, maxDocument)
	r.wrong(certAt, m)
	key, m := regularFile(keyFile, maxDocument)
	r.wrong(keyAt, m)
	if r.reported[certAt] || r.reported[keyAt] {
		return
	}
	if _, err := tls.X509KeyPair(certificate, key); err != nil {
		r.problem(certAt, fmt.Sprintf("%s and %s are no pair: %v", certFile, keyFile, err), "give a certificate and its unencrypted private key, both in PEM form")
	}
}
