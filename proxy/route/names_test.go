package route_test

import (
	"slices"
	"strings"
	"testing"

	"breakwater/internal/pattern"
	"breakwater/proxy/registry"
	"breakwater/proxy/route"
)

func TestNames(t *testing.T) {
	table := route.New(sample)
	for _, test := range []struct {
		upstream, repository string
		names                []string
		of                   string // whose settings hold
	}{
		{"harbor", "hub-proxy/library/nginx", []string{"docker.io/library/nginx", "harbor.example.com:8443/hub-proxy/library/nginx"}, "docker.io"},
		{"harbor", "hub-proxy/acme/app", []string{"docker.io/acme/app", "harbor.example.com:8443/hub-proxy/acme/app"}, "docker.io"},
		{"harbor", "hub-proxy/nginx", []string{"harbor.example.com:8443/hub-proxy/nginx"}, "docker.io"}, // docker.io/nginx is another one
		{"harbor", "hub-proxy", []string{"harbor.example.com:8443/hub-proxy"}, "harbor.example.com:8443"},
		{"harbor", "hub-proxy-2/acme/app", []string{"harbor.example.com:8443/hub-proxy-2/acme/app"}, "harbor.example.com:8443"},
		{"harbor", "quay-proxy/coreos/etcd", []string{"harbor.example.com:8443/quay-proxy/coreos/etcd", "quay.io/coreos/etcd"}, "quay.io"},
		{"harbor", "quay-proxy/acme/app", []string{"harbor.example.com:8443/quay-proxy/acme/app"}, "harbor.example.com:8443"}, // quay.io does not open it
		{"harbor", "mirrors/ghcr/acme/app", []string{"ghcr.io/acme/app", "harbor.example.com:8443/mirrors/ghcr/acme/app"}, "ghcr.io"},
		{"harbor", "mirrors/acme/app", []string{"harbor.example.com:8443/mirrors/acme/app"}, "harbor.example.com:8443"},
		{"harbor", "quay.io/coreos/etcd", []string{"harbor.example.com:8443/quay.io/coreos/etcd"}, "harbor.example.com:8443"},
		{"other", "team-a/app", []string{"other.example.com/team-a/app"}, "other.example.com"},
		{"other", "team-b/app", nil, "other.example.com"},
		{"elsewhere", "team-a/app", nil, ""},
	} {
		if names := table.Names(test.upstream, test.repository); !slices.Equal(names, test.names) {
			t.Errorf("%s/%s has the names %q, want %q", test.upstream, test.repository, names, test.names)
		}
		if of, ok := table.Of(test.upstream, test.repository); of.Name != test.of || ok != (test.of != "") {
			t.Errorf("of %s/%s hold the settings of %q, %v; want %q", test.upstream, test.repository, of.Name, ok, test.of)
		}
		for _, name := range test.names {
			host, _, _ := strings.Cut(name, "/")
			r, _ := table.Named(host)
			leadsBack(t, table, route.Match{Route: r, Request: registry.Request{Name: test.repository}})
		}
	}
}

// Of routes to one place, or round it, the closest one's settings hold that opens the
// repository; where none does, those of the closest.
func TestSettingsAtOnePlace(t *testing.T) {
	first := route.Route{Name: "a.example.com", Upstream: "harbor", Prefix: "p", Repositories: pattern.All("x/**")}
	second := route.Route{Name: "b.example.com", Upstream: "harbor", Prefix: "p", Repositories: pattern.All("y/**")}
	around := route.Route{Name: "c.example.com", Upstream: "harbor", Repositories: pattern.All("*/w/**")}
	table := route.New([]route.Route{second, around, first})
	for repository, want := range map[string]string{
		"p/x/app": first.Name, "p/y/app": second.Name, "p/w/app": around.Name, "p/z/app": first.Name, "q/z/app": around.Name,
	} {
		if of, ok := table.Of("harbor", repository); !ok || of.Name != want {
			t.Errorf("of %s hold the settings of %s, want %s", repository, of.Name, want)
		}
	}
}

// A route to a part of a proxy cache, or to all that lies round it, makes nothing else of
// it.
func TestProxyCacheHoldsForAllThatLeadThere(t *testing.T) {
	table := route.New([]route.Route{
		{Name: "docker.io", Upstream: "harbor", Prefix: "hub", Repositories: pattern.All("**"), ProxyCache: true},
		{Name: "a.example.com", Upstream: "harbor", Prefix: "hub/acme", Repositories: pattern.All("only")},
		{Name: "harbor.example.com", Upstream: "harbor", Repositories: pattern.All("**")},
		{Name: "other.example.com", Upstream: "other", Repositories: pattern.All("**")},
	})
	for place, want := range map[string]bool{
		"harbor hub/acme/only": true, "harbor hub/acme/other": true, "harbor hub/library/nginx": true,
		"harbor hub2/acme/only": false, "harbor team-a/app": false, "other hub/acme/only": false,
	} {
		upstream, repository, _ := strings.Cut(place, " ")
		if of, _ := table.Of(upstream, repository); of.ProxyCache != want {
			t.Errorf("%s is a proxy cache: %t, by %s", place, of.ProxyCache, of.Name)
		}
	}
}

func TestNamed(t *testing.T) {
	table := route.New(sample)
	for host, want := range map[string]string{
		"docker.io": "docker.io", "Docker.io:443": "docker.io", "index.docker.io": "docker.io", "registry-1.docker.io:443": "docker.io",
		"harbor.example.com:8443": "harbor.example.com:8443", "quay.io": "quay.io",
		"harbor.example.com": "", "harbor.example.com_8443": "", "docker.io:80": "", "index.quay.io": "", "": "", ":443": "",
	} {
		if r, ok := table.Named(host); r.Name != want || ok != (want != "") {
			t.Errorf("%q is the route %q, %v; want %q", host, r.Name, ok, want)
		}
	}
}

// A table's routes are sorted, and nobody's to change.
func TestRoutes(t *testing.T) {
	table := route.New([]route.Route{sample[1], sample[0]})
	for range 2 {
		routes := table.Routes()
		if len(routes) != 2 || routes[0].Name != "docker.io" || routes[1].Name != "quay.io" {
			t.Fatalf("%v", routes)
		}
		routes[0] = route.Route{}
	}
}
