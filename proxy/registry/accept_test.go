package registry_test

import (
	"strings"
	"testing"

	"breakwater/proxy/registry"
)

func TestAccepts(t *testing.T) {
	for _, c := range []struct {
		name   string
		accept []string
		offer  string
		want   bool
	}{
		{"no header", nil, registry.TypeOCIManifest, true},
		{"an empty header", []string{" , "}, registry.TypeOCIManifest, true},
		{"everything", []string{"*/*"}, registry.TypeOCIIndex, true},
		{"wildcard of the main type", []string{"application/*"}, registry.TypeOCIIndex, true},
		{"wildcard of another", []string{"text/*"}, registry.TypeOCIIndex, false},
		{"listed", []string{registry.TypeOCIManifest + ", " + registry.TypeOCIIndex}, registry.TypeOCIIndex, true},
		{"listed in a second field", []string{registry.TypeOCIManifest, registry.TypeOCIIndex}, registry.TypeOCIIndex, true},
		{"listed in capitals, with parameters", []string{"Application/Vnd.OCI.Image.Index.V1+JSON;q=0.5"}, registry.TypeOCIIndex, true},
		{"offered with a parameter", []string{registry.TypeOCIIndex}, registry.TypeOCIIndex + "; charset=utf-8", true},
		{"another type", []string{registry.TypeOCIManifest}, registry.TypeOCIIndex, false},
		{"json alone", []string{"application/json"}, registry.TypeOCIIndex, false},
		{"excluded by weight", []string{registry.TypeOCIIndex + ";q=0.000"}, registry.TypeOCIIndex, false},
		{"smallest weight", []string{registry.TypeOCIIndex + ";q=0.001"}, registry.TypeOCIIndex, true},
		{"Docker's types always", []string{registry.TypeOCIManifest}, registry.TypeDockerList, true},
		{"garbage", []string{";;;,=,"}, registry.TypeOCIIndex, false},
	} {
		if got := registry.Accepts(c.accept, c.offer); got != c.want {
			t.Errorf("%s: Accepts(%q, %q) = %t", c.name, c.accept, c.offer, got)
		}
	}
}

func TestManifestType(t *testing.T) {
	for contentType, want := range map[string]bool{
		registry.TypeDockerManifest:               true,
		registry.TypeOCIIndex + "; charset=utf-8": true,
		"text/html":        false,
		"application/json": false,
		"":                 false,
		"application/vnd.docker.distribution.manifest.v1+prettyjws": false,
	} {
		if name, got := registry.ManifestType(contentType); got != want || strings.Contains(name, ";") {
			t.Errorf("ManifestType(%q) = %q, %t", contentType, name, got)
		}
	}
}
