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
	if u.CAFile != "" && !r.reported[at+".ca_file"] {
		r.wrong(at+".ca_file", authorities(u.CAFile))
	}
	if u.CertFile != "" && u.KeyFile != "" {
		u.validateKeyPair(r, at+".cert_file", at+".key_file")
	}
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

func (u Upstream) validateKeyPair(r *report, certAt, keyAt string) {
	if r.reported[certAt] || r.reported[keyAt] {
		return
	}
	certificate, m := regularFile(u.CertFile, maxDocument)
	r.wrong(certAt, m)
	key, m := regularFile(u.KeyFile, maxDocument)
	r.wrong(keyAt, m)
	if r.reported[certAt] || r.reported[keyAt] {
		return
	}
	if _, err := tls.X509KeyPair(certificate, key); err != nil {
		r.problem(certAt, fmt.Sprintf("%s and %s are no pair: %v", u.CertFile, u.KeyFile, err), "give a certificate and its unencrypted private key, both in PEM form")
	}
}
