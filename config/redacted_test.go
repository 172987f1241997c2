package config_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"breakwater/config"

	"gopkg.in/yaml.v3"
)

// TestNoSecretPrints prints a configuration in every way, and every error about
// a document that holds a password where none belongs.
func TestNoSecretPrints(t *testing.T) {
	path, _ := written(t, "config.yaml", `
upstreams:
  harbor: {url: https://harbor.example.com, username: robot$breakwater, password_file: /secrets/password}
`)
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	username, password, err := c.Upstreams["harbor"].Credentials()
	if err != nil || username != "robot$breakwater" || password.Reveal() != hidden {
		t.Fatalf("Credentials = %q, %q, %v", username, password.Reveal(), err)
	}
	asJSON, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	printed := []string{fmt.Sprintf("%v %+v %#v", c, c, c), string(asJSON), string(asYAML), fmt.Sprint(password)}
	for _, line := range []string{
		"url: https://robot:hunter2@harbor.example.com",
		"url: https://robot:hunter2%@harbor.example.com", // a URL that does not parse
		"url: https://robot:hunter2/x@harbor.example.com",
		"url: https://harbor.example.com/?p=hunter2",
		"password: hunter2",
		"password_file: hunter2",
		"bearer_token_file: hunter2",
		"bearer_token: hunter2",
		"password_env: hunter2",
		"password_env: hunter2!",
		"password_env: *hunter2",
		"password_env: !hunter2",
		"password_env: &hunter2",
		"password_env: [hunter2]",
		"password_env: {hunter2: hunter2",
		"password_env: \"hunter2",
		"password_env: %hunter2",
		"password_env: @hunter2",
	} {
		path, _ := written(t, "config.yaml", "upstreams:\n  harbor:\n    username: robot$breakwater\n    "+line+"\n")
		_, err := config.Load(path)
		if err == nil {
			t.Errorf("%s was accepted", line)
			continue
		}
		printed = append(printed, err.Error())
	}
	for _, line := range []string{
		"password: hunter2", "password: [hunter2]", "password: {htpasswd_file: hunter2}", "password: {htpasswd_file: alice:hunter2}", "password: !hunter2 {}",
		"token: hunter2", "token: [hunter2]", "token: {bearer_token_file: hunter2}", "token: {jwks_file: '{hunter2}'}",
		"token: {issuer: 'https://a:hunter2@issuer.example.com'}", "token: {issuer: 'https://issuer.example.com?hunter2'}", "token: {issuer: hunter2}",
		"token: {audience: \"hunter2\\n\"}", "token: {prefix: \"hunter2\\n\"}", "token: {token: hunter2}", "token: {ca_file: hunter2}",
		"mtls: hunter2", "mtls: {ca_file: hunter2}", "harbor: hunter2", "harbor: {password: hunter2}", "anonymous: hunter2",
		"tls: hunter2", "tls: {cert_file: hunter2, key_file: hunter2}", "tls: {key_file: '-----BEGIN hunter2'}", "limits: hunter2", "limits: {connections: hunter2}", "hide: hunter2", "allow: hunter2",
	} {
		path, _ := written(t, "config.yaml", minimal+"listeners:\n  - address: :5000\n    "+line+"\n")
		_, err := config.Load(path)
		if err == nil {
			t.Errorf("%s was accepted", line)
			continue
		}
		printed = append(printed, err.Error())
	}
	for _, text := range printed {
		if strings.Contains(text, hidden) {
			t.Errorf("the password was printed: %s", text)
		}
	}
}
