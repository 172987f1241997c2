package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"breakwater/config"
)

// TestThePageOfAccessModesLoads loads every configuration in docs/access.md.
func TestThePageOfAccessModesLoads(t *testing.T) {
	page, err := os.ReadFile("../docs/access.md")
	if err != nil {
		t.Fatal(err)
	}
	const modes = 5
	blocks := regexp.MustCompile("(?s)```yaml\n(listeners:.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < modes {
		t.Fatalf("%d configurations, want one for each mode at least", len(blocks))
	}
	for _, block := range blocks {
		document := "upstreams: {harbor: {url: https://harbor.example.com, username: robot$breakwater, password_file: /secrets/password}}\n" +
			strings.NewReplacer(
				"/run/tls/tls.crt", "/secrets/cert.pem", "/run/tls/tls.key", "/secrets/key.pem", "/run/tls/clients.crt", "/secrets/ca.pem",
				"/etc/breakwater/htpasswd", "/secrets/htpasswd", "/etc/breakwater/jwks.json", "/secrets/jwks.json",
				"/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "/secrets/ca.pem",
				"/var/run/secrets/kubernetes.io/serviceaccount/token", "/secrets/token",
			).Replace(block[1])
		path, plain := written(t, "access.yaml", document)
		c, err := config.Load(path)
		if err != nil {
			t.Errorf("%s\n%s", block[1], plain(err.Error()))
		}
		if len(c.Warnings) > 0 {
			t.Errorf("unwise:\n%s\n%v", block[1], c.Warnings)
		}
	}
}
