package config_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"breakwater/config"
)

// TestTheExampleLoads loads config/example.yaml as it stands, and once more with
// every line of configuration in its comments taken in.
func TestTheExampleLoads(t *testing.T) {
	data, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("example.yaml", data)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("the example is unwise: %v", c.Warnings)
	}
	want := config.Default()
	want.Cache.Dir, want.Upstreams, want.Routes = "/var/lib/breakwater", c.Upstreams, c.Routes
	want.Listeners[0].Default = "docker.io"
	if !reflect.DeepEqual(c, want) {
		t.Errorf("what the example calls the default is not:\ngot  %+v\nwant %+v", c, want)
	}

	whole := regexp.MustCompile(`(?m)^    # (\w+: )`).ReplaceAllString(string(data), "    $1")
	whole = regexp.MustCompile(`(?m)^    # ( +\S+: )`).ReplaceAllString(whole, "    $1")
	whole = regexp.MustCompile(`(?m)^  # (- |  |[a-z.]+: )`).ReplaceAllString(whole, "  $1")
	whole = regexp.MustCompile(`(?m)^    password_env:`).ReplaceAllString(whole, "    # password_env:")
	whole = strings.NewReplacer(
		"/run/secrets/harbor", "/secrets", "/run/tls/ca.crt", "/secrets/ca.pem",
		"/run/tls/clients.crt", "/secrets/ca.pem", "/run/kube/ca.crt", "/secrets/ca.pem", "/run/kube/token", "/secrets/token",
		"/etc/breakwater/htpasswd", "/secrets/htpasswd", "/run/tls/tls.crt", "/secrets/cert.pem", "/run/tls/tls.key", "/secrets/key.pem",
	).Replace(whole)
	path, _ := written(t, "example.yaml", whole)
	c, err = config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.Upstreams["region"].BearerTokenFile == "" || c.Routes["quay.io"].To != "region" {
		t.Errorf("the other Breakwater of the example was not taken in: %+v", c.Upstreams)
	}
	u := c.Upstreams["harbor"]
	if u.TokenURL.URL == nil || u.Realms == nil || u.CAFile == "" || u.CertFile == "" || u.KeyFile == "" || u.Redirects == nil {
		t.Errorf("a line of the example was not taken in: %+v", u)
	}
	var modes []string
	for _, l := range c.Listeners {
		for mode, written := range map[string]bool{
			"anonymous": l.Anonymous != nil, "password": l.Password != nil, "token": l.Token != nil, "mtls": l.MTLS != nil, "harbor": l.Harbor != nil,
		} {
			if written {
				modes = append(modes, mode)
			}
		}
		if !reflect.DeepEqual(l.Limits, config.DefaultListener().Limits) || l.Hide {
			t.Errorf("what the example calls the default of %s is not: %+v", l.Address, l)
		}
	}
	if want := []string{"anonymous", "anonymous", "password", "token", "mtls", "harbor"}; !reflect.DeepEqual(modes, want) {
		t.Errorf("the example's listeners have modes %q, want %q", modes, want)
	}
	issuer := c.Listeners[3].Token[0]
	if got := []string{issuer.Prefix, issuer.SubjectClaim, issuer.GroupsClaim}; !reflect.DeepEqual(got, []string{"", "sub", "groups"}) {
		t.Errorf("what the example calls an issuer's defaults are %q", got)
	}
}

// TestTheExampleNamesEveryKey fails when a key is added and not documented.
func TestTheExampleNamesEveryKey(t *testing.T) {
	data, err := os.ReadFile("example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var visit func(reflect.Type)
	visit = func(shape reflect.Type) {
		switch shape.Kind() {
		case reflect.Map, reflect.Slice, reflect.Pointer:
			visit(shape.Elem())
		case reflect.Struct:
			for field := range shape.Fields() {
				key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
				if key == "" || key == "-" {
					continue
				}
				if !regexp.MustCompile(`(?m)^[ #-]*` + key + `:`).Match(data) {
					t.Errorf("example.yaml does not name %s of %v", key, shape)
				}
				visit(field.Type)
			}
		}
	}
	visit(reflect.TypeFor[config.Config]())
}
