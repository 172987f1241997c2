package config_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/config"
	"breakwater/proxy/route"
)

func TestTheImpliedRouteIsTheUpstreamsOwnName(t *testing.T) {
	for url, name := range map[string]string{
		"https://harbor.example.com": "harbor.example.com", "https://Harbor.Example.com:443/": "harbor.example.com",
		"https://harbor.example.com:8443": "harbor.example.com:8443", "https://harbor.example.com:80": "harbor.example.com:80",
		"http://harbor.example.com": "harbor.example.com", "http://harbor.example.com:80": "harbor.example.com",
		"http://harbor.example.com:8080": "harbor.example.com:8080", "https://harbor": "harbor", "http://192.0.2.1:8080": "192.0.2.1:8080",
		"http://[2001:db8::1]:8080": "[2001:db8::1]:8080", "https://[2001:DB8::1]": "[2001:db8::1]", "https://registry-1.docker.io": "docker.io",
	} {
		c, err := config.Parse("config.yaml", []byte("upstreams: {up: {url: '"+url+"', tag_ttl: 7s}}\nlisteners: [{address: '127.0.0.1:5999'}, {address: '127.0.0.1:6000'}]"))
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		routes := c.Table().Routes()
		if len(routes) != 1 || routes[0].Name != name || routes[0].Upstream != "up" || routes[0].Prefix != "" || routes[0].TagTTL != 7*time.Second ||
			fmt.Sprint(routes[0].Repositories) != "[**]" || len(c.Warnings) > 0 {
			t.Errorf("%s has routes %+v, want %s; warnings %v", url, routes, name, c.Warnings)
		}
		for _, l := range c.Listeners {
			if l.Default != name {
				t.Errorf("the default beside %s is %q, want the only route", url, l.Default)
			}
		}
	}
}

func TestTableOfWhatIsWritten(t *testing.T) {
	c, err := config.Parse("config.yaml", []byte(`
upstreams:
  harbor: {url: https://harbor.example.com, tag_ttl: 30s}
  other: {url: https://other.example.com}
routes:
  quay.io: {to: other, repositories: ["prometheus/*", "coreos/**"]}
  docker.io: {to: harbor/hub/proxy, proxy_cache: true, complete: true, repositories: ["**"]}
  ghcr.io: {to: harbor/ghcr, proxy_cache: true, tag_ttl: 1h, repositories: ["**"]}
  harbor.example.com: {to: harbor, repositories: ["**"]}
`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range c.Table().Routes() {
		got = append(got, fmt.Sprintln(r.Name, r.Upstream, r.Prefix, r.Repositories, r.ProxyCache, r.Complete, r.TagTTL))
	}
	want := []string{
		"docker.io harbor hub/proxy [**] true true 15m0s\n",
		"ghcr.io harbor ghcr [**] true false 1h0m0s\n",
		"harbor.example.com harbor  [**] false false 30s\n",
		"quay.io other  [prometheus/* coreos/**] false false 10s\n",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, ""), strings.Join(want, ""))
	}
	if usual := c.Listeners[0].Default; usual != "" {
		t.Errorf("of several routes %q is the default", usual)
	}
}

// fits holds that routes which were accepted can be served.
func fits(t *testing.T, c config.Config) {
	t.Helper()
	table := c.Table()
	if conflicts := route.Conflicts(table.Routes()); len(conflicts) > 0 {
		t.Errorf("conflicts were accepted: %v", conflicts)
	}
	for _, r := range table.Routes() {
		if _, ok := c.Upstreams[r.Upstream]; !ok {
			t.Errorf("%s leads to %q, which is no upstream", r.Name, r.Upstream)
		}
		if found, ok := table.Named(r.Name); !ok || found.Name != r.Name {
			t.Errorf("%s is not found by its name", r.Name)
		}
	}
	for _, l := range c.Listeners {
		if found, ok := table.Named(l.Default); l.Default != "" && (!ok || found.Name != l.Default) {
			t.Errorf("the default %q is not found", l.Default)
		}
		if l.Harbor != nil && c.Upstreams[l.Harbor.Upstream].Username == "" {
			t.Errorf("%s asks %q, where Breakwater has no account", l.Address, l.Harbor.Upstream)
		}
	}
}

func TestHarborModeAsksTheOnlyUpstreamWithAnAccount(t *testing.T) {
	path, _ := written(t, "config.yaml", `
upstreams:
  harbor: {url: https://harbor.example.com, username: robot$breakwater, password_file: /secrets/password}
  public: {url: https://public.example.com}
  region: {url: https://region.example.com, bearer_token_file: /secrets/token}
routes:
  docker.io: {to: harbor/hub-proxy, repositories: ["**"]}
  public.example.com: {to: public, repositories: ["**"]}
  quay.io: {to: region, repositories: ["**"]}
listeners: [{address: 127.0.0.1:5000, harbor: {}}]
`)
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if asked := c.Listeners[0].Harbor.Upstream; asked != "harbor" {
		t.Errorf("%q is asked, want the one with an account", asked)
	}
}

func TestTheTokenForAnotherBreakwaterIsReadAnew(t *testing.T) {
	path, plain := written(t, "config.yaml", "upstreams: {region: {url: https://region.example.com, bearer_token_file: /secrets/token}}\n")
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	u := c.Upstreams["region"]
	if len(c.Files()) > 0 {
		t.Errorf("a file that is read at each use is watched: %q", c.Files())
	}
	for content, want := range map[string]string{"renewed": "renewed", "again\n": "again"} {
		if err := os.WriteFile(u.BearerTokenFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if token, err := u.BearerToken(); err != nil || token.Reveal() != want {
			t.Errorf("%q is the token %q (%v)", content, token.Reveal(), err)
		}
	}
	if err := os.WriteFile(u.BearerTokenFile, []byte(hidden+"\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	token, err := u.BearerToken()
	var problem config.Problem
	want := "upstreams.region.bearer_token_file: leads to more than one line, or to control characters; write the token there and nothing else"
	if !errors.As(err, &problem) || plain(err.Error()) != want || token != "" {
		t.Errorf("got  %q, %v\nwant %s", token.Reveal(), err, want)
	}
	if token, err := (config.Upstream{}).BearerToken(); token != "" || err != nil {
		t.Errorf("without a file %q, %v", token.Reveal(), err)
	}
	if username, password, err := u.Credentials(); username != "" || password != "" || err != nil {
		t.Errorf("an account of %q, %q, %v", username, password.Reveal(), err)
	}
}

// TestOtherAddressesAreNoLoop: what may be another machine is not refused.
func TestOtherAddressesAreNoLoop(t *testing.T) {
	for url, listener := range map[string]string{
		"http://127.0.0.1:5001": "127.0.0.1:5000", "http://127.0.0.2:5000": "127.0.0.1:5000", "http://10.0.0.2:5000": "10.0.0.1:5000",
		"http://10.0.0.1:5000": ":5000", "https://harbor.example.com:5000": ":5000", "http://localhost:5000": "10.0.0.1:5000",
		"http://127.0.0.1:80": "127.0.0.1:0", "https://127.0.0.1": "127.0.0.1:80",
	} {
		_, err := config.Parse("config.yaml", []byte("upstreams: {up: {url: '"+url+"'}}\nlisteners: [{address: '"+listener+"', anonymous: {networks: [10.0.0.0/8]}}]"))
		if err != nil {
			t.Errorf("%s behind %s: %v", url, listener, err)
		}
	}
}

// TestTheMostRoutesLoad has as many as there may be, all to one place.
func TestTheMostRoutesLoad(t *testing.T) {
	var document strings.Builder
	document.WriteString(minimal + "routes:\n")
	for i := range 1000 {
		fmt.Fprintf(&document, "  r%d.example.com: {to: harbor, repositories: ['team-%d/**', 'x/%d']}\n", i, i, i)
	}
	document.WriteString("listeners:\n  - address: 127.0.0.1:5000\n    allow:\n")
	for i := range 100 {
		fmt.Fprintf(&document, "      - pull: ['r%d.example.com/team-%d/app', '*/x/%d']\n", i, i, i)
	}
	c, err := config.Parse("config.yaml", []byte(document.String()))
	if err != nil || len(c.Table().Routes()) != 1000 {
		t.Errorf("%.500v", err)
	}
}
