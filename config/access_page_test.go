package config_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"breakwater/config"
)

// TestThePagesLoad loads every configuration in docs/access.md, and the whole ones in
// docs/routes.md and the README.
func TestThePagesLoad(t *testing.T) {
	const before = "upstreams: {harbor: {url: https://harbor.example.com, username: robot$breakwater, password_file: /secrets/password}}\n" +
		"routes: {docker.io: {to: harbor/hub-proxy, proxy_cache: true, repositories: ['**']}, harbor.example.com: {to: harbor, repositories: ['**']}}\n"
	whole := regexp.MustCompile("(?s)```yaml\n((?:#[^\n]*\n)?upstreams:.*?)```")
	for page, expected := range map[string]struct {
		blocks *regexp.Regexp
		least  int
		before string
	}{
		"../docs/access.md": {regexp.MustCompile("(?s)```yaml\n(listeners:.*?)```"), 5, before},
		"../docs/routes.md": {whole, 2, ""},
		"../README.md":      {whole, 1, ""},
	} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		blocks := expected.blocks.FindAllStringSubmatch(string(text), -1)
		if len(blocks) < expected.least {
			t.Errorf("%s: %d configurations, want %d at least", page, len(blocks), expected.least)
		}
		for _, block := range blocks {
			loads(t, expected.before+block[1])
		}
	}
}

// loads tries a configuration of a page, with files that exist.
func loads(t *testing.T, document string) {
	t.Helper()
	path, plain := written(t, "access.yaml", strings.NewReplacer(
		"/run/tls/tls.crt", "/secrets/cert.pem", "/run/tls/tls.key", "/secrets/key.pem", "/run/tls/clients.crt", "/secrets/ca.pem",
		"/etc/breakwater/htpasswd", "/secrets/htpasswd", "/etc/breakwater/jwks.json", "/secrets/jwks.json",
		"/etc/breakwater/harbor-password", "/secrets/password",
		"/run/tls/ca.crt", "/secrets/ca.pem", "/var/run/secrets/breakwater/token", "/secrets/token",
		"/var/run/secrets/kubernetes.io/serviceaccount/ca.crt", "/secrets/ca.pem",
		"/var/run/secrets/kubernetes.io/serviceaccount/token", "/secrets/token",
	).Replace(document))
	c, err := config.Load(path)
	if err != nil {
		t.Errorf("%s\n%s", document, plain(err.Error()))
	}
	if len(c.Warnings) > 0 {
		t.Errorf("unwise:\n%s\n%v", document, c.Warnings)
	}
}
