package config_test

import (
	"strings"
	"testing"

	"breakwater/config"
)

// net/http passes over a proxy that it cannot parse, and goes without it.
func TestProxyOfTheEnvironment(t *testing.T) {
	for value, good := range map[string]bool{
		"": true, "http://proxy.example.com:3128": true, "proxy.example.com:3128": true, "proxy": true, "https://user:p%25w@proxy:1": true,
		"http://user:p%ssecret@proxy": false, "http://": false, "http://proxy:port": false,
	} {
		t.Setenv("HTTPS_PROXY", value)
		_, err := config.FromFlags(config.Flags{Upstream: "https://harbor.example.com", Listen: "127.0.0.1:5000", MaxSize: config.Default().Cache.MaxSize.String()})
		refused := err != nil && strings.Contains(err.Error(), "HTTPS_PROXY")
		if refused == good {
			t.Errorf("HTTPS_PROXY=%s: %v", value, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows a password: %v", err)
		}
	}
}
