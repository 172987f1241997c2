package route_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"breakwater/internal/pattern"
	"breakwater/proxy/registry"
	"breakwater/proxy/route"
)

// sample is a table with everything that makes names differ: prefixes of one and of two
// components and none, a port, a part that is opened, a place within another, and a
// project of Harbor's that is called like a route.
var sample = []route.Route{
	{Name: "docker.io", Upstream: "harbor", Prefix: "hub-proxy", Repositories: pattern.All("**")},
	{Name: "quay.io", Upstream: "harbor", Prefix: "quay-proxy", Repositories: pattern.All("coreos/**", "*/nginx")},
	{Name: "ghcr.io", Upstream: "harbor", Prefix: "mirrors/ghcr", Repositories: pattern.All("*/app", "single")},
	{Name: "harbor.example.com:8443", Upstream: "harbor", Repositories: pattern.All("**")},
	{Name: "other.example.com", Upstream: "other", Repositories: pattern.All("team-a/**")},
}

// parsed is a request as Parse reads it from a client.
func parsed(t testing.TB, target string) registry.Request {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatal(err)
	}
	request, err := registry.Parse(http.MethodGet, u)
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	return request
}

func TestFind(t *testing.T) {
	table := route.New(sample)
	long := strings.Repeat("a", 240)
	for _, test := range []struct {
		usual  string
		target string // before /tags/list, or as it is
		want   string // route, upstream/repository and what spelled the route; or a part of the refusal
	}{
		// Every spelling of one official image.
		{"docker.io", "/v2/nginx", "docker.io harbor/hub-proxy/library/nginx"},
		{"docker.io", "/v2/library/nginx", "docker.io harbor/hub-proxy/library/nginx"},
		{"", "/v2/docker.io/nginx", "docker.io harbor/hub-proxy/library/nginx docker.io/"},
		{"", "/v2/docker.io/library/nginx", "docker.io harbor/hub-proxy/library/nginx docker.io/"},
		{"", "/v2/index.docker.io/nginx", "docker.io harbor/hub-proxy/library/nginx index.docker.io/"},
		{"", "/v2/registry-1.docker.io/library/nginx", "docker.io harbor/hub-proxy/library/nginx registry-1.docker.io/"},
		{"", "/docker.io/v2/nginx", "docker.io harbor/hub-proxy/library/nginx"},
		{"", "/registry-1.docker.io/v2/library/nginx", "docker.io harbor/hub-proxy/library/nginx"},
		{"", "/v2/library/nginx?ns=docker.io", "docker.io harbor/hub-proxy/library/nginx"},
		{"", "/v2/nginx?ns=index.docker.io", "docker.io harbor/hub-proxy/library/nginx"},
		{"", "/v2/library/nginx?ns=registry-1.docker.io", "docker.io harbor/hub-proxy/library/nginx"},
		{"", "/v2/library/nginx?ns=Registry-1.Docker.IO:443", "docker.io harbor/hub-proxy/library/nginx"},
		{"", "/v2/docker.io/library/nginx?ns=docker.io", "docker.io harbor/hub-proxy/library/nginx docker.io/"},
		{"harbor.example.com:8443", "/v2/hub-proxy/library/nginx", "harbor.example.com:8443 harbor/hub-proxy/library/nginx"},
		{"harbor.example.com:8443", "/v2/harbor.example.com_8443/hub-proxy/library/nginx", "harbor.example.com:8443 harbor/hub-proxy/library/nginx harbor.example.com_8443/"},
		{"", "/harbor.example.com_8443/v2/hub-proxy/library/nginx", "harbor.example.com:8443 harbor/hub-proxy/library/nginx"},
		{"docker.io", "/v2/hub-proxy/library/nginx?ns=harbor.example.com:8443", "harbor.example.com:8443 harbor/hub-proxy/library/nginx"},
		{"docker.io", "/v2/hub-proxy/library/nginx?ns=HARBOR.example.com:8443", "harbor.example.com:8443 harbor/hub-proxy/library/nginx"},

		// library/ is Docker Hub's only, and of names of one component only.
		{"docker.io", "/v2/acme/app", "docker.io harbor/hub-proxy/acme/app"},
		{"docker.io", "/v2/library/a/b", "docker.io harbor/hub-proxy/library/a/b"},
		{"ghcr.io", "/v2/single", "ghcr.io harbor/mirrors/ghcr/single"},
		{"harbor.example.com:8443", "/v2/nginx", "harbor.example.com:8443 harbor/nginx"},

		// Prefix, then the first component, then ns, then what is usual.
		{"docker.io", "/ghcr.io/v2/quay.io/app?ns=docker.io", "ghcr.io harbor/mirrors/ghcr/quay.io/app"},
		{"docker.io", "/quay.io/v2/docker.io/nginx", "quay.io harbor/quay-proxy/docker.io/nginx"},
		{"docker.io", "/v2/quay.io/coreos/etcd?ns=ghcr.io", "quay.io harbor/quay-proxy/coreos/etcd quay.io/"},
		{"docker.io", "/v2/quay.io/coreos/etcd?ns=unknown.example.com", "quay.io harbor/quay-proxy/coreos/etcd quay.io/"},
		{"docker.io", "/v2/coreos/etcd?ns=quay.io", "quay.io harbor/quay-proxy/coreos/etcd"},
		{"docker.io", "/v2/coreos/etcd", "docker.io harbor/hub-proxy/coreos/etcd"},
		{"Docker.io:443", "/v2/coreos/etcd", "docker.io harbor/hub-proxy/coreos/etcd"},
		{"docker.io", "/v2/team-a/app?ns=other.example.com", "other.example.com other/team-a/app"},
		{"docker.io", "/v2/other.example.com/team-a/app", "other.example.com other/team-a/app other.example.com/"},

		// A project that is called like a route can be asked for below its own.
		{"harbor.example.com:8443", "/v2/harbor.example.com_8443/quay.io/coreos/etcd", "harbor.example.com:8443 harbor/quay.io/coreos/etcd harbor.example.com_8443/"},
		{"docker.io", "/harbor.example.com_8443/v2/quay.io/coreos/etcd", "harbor.example.com:8443 harbor/quay.io/coreos/etcd"},
		{"harbor.example.com:8443", "/v2/quay.io/coreos/etcd", "quay.io harbor/quay-proxy/coreos/etcd quay.io/"},

		// A route's name alone is a repository's, as in image references.
		{"docker.io", "/v2/quay.io", "docker.io harbor/hub-proxy/library/quay.io"},
		{"docker.io", "/v2/docker.io/docker.io", "docker.io harbor/hub-proxy/library/docker.io docker.io/"},
		{"", "/v2/quay.io", "quay.io names no registry"},
		{"", "/v2/quay.io?ns=quay.io", "quay.io is not opened here"},

		// What has no name.
		{"docker.io", "/v2/", " "},
		{"docker.io", "/v2/_catalog", " "},
		{"docker.io", "/v2/?ns=quay.io", "quay.io "},
		{"docker.io", "/quay.io/v2/", "quay.io "},
		{"", "/v2/_catalog?ns=docker.io&n=1", "docker.io "},
		{"docker.io", "/v2/?ns=gcr.io", `"gcr.io" is not a registry that is served here: these are docker.io, ghcr.io, harbor.example.com:8443, other.example.com, quay.io`},
		{"docker.io", "/gcr.io/v2/", `"gcr.io" is not a registry that is served here: these are docker.io, ghcr.io, harbor.example.com_8443, other.example.com, quay.io`},

		// The world is closed.
		{"docker.io", "/v2/gcr.io/distroless/base", `"gcr.io" is not a registry that is served here: these are docker.io`}, // nobody is called so on Docker Hub
		{"", "/v2/docker.io/harbor.exmaple.com/team-a/app", `"harbor.exmaple.com" is not a registry that is served here`},
		{"docker.io", "/v2/a.b", "docker.io harbor/hub-proxy/library/a.b"}, // an image's name may have dots
		{"docker.io", "/v2/acme/a.b", "docker.io harbor/hub-proxy/acme/a.b"},
		{"docker.io", "/v2/library/nginx?ns=gcr.io", `"gcr.io" is not a registry that is served here`},
		{"docker.io", "/v2/library/nginx?ns=docker.io:5000", `"docker.io:5000" is not a registry that is served here`},
		{"docker.io", "/v2/library/nginx?ns=harbor.example.com", `"harbor.example.com" is not a registry that is served here`},
		{"docker.io", "/v2/library/nginx?ns=%0A%22%F0%9F%90%B3", `"\n\"\U0001f433" is not a registry that is served here`},
		{"docker.io", "/gcr.io/v2/a/b", `"gcr.io" is not a registry that is served here`},
		{"docker.io", "/gcr.io/v2/quay.io/coreos/etcd?ns=quay.io", `"gcr.io" is not a registry that is served here`},
		{"", "/v2/library/nginx", "library/nginx names no registry, and there is no usual one here: write one of these and a / before it: docker.io, ghcr.io"},
		{"gcr.io", "/v2/library/nginx", "library/nginx names no registry"},
		{"docker.io", "/v2/quay.io/acme/app", "acme/app is not opened here: whoever runs this registry can add it to the repositories of the route quay.io"},
		{"docker.io", "/v2/ghcr.io/acme/tools/app", "acme/tools/app is not opened here"},
		{"docker.io", "/v2/team-b/app?ns=other.example.com", "team-b/app is not opened here"},

		// With what comes before it upstream, a name may be too long for any registry.
		{"docker.io", "/v2/" + long, long[:64] + "… is too long"},
		{"harbor.example.com:8443", "/v2/" + long, "harbor.example.com:8443 harbor/" + long},
	} {
		target, query, _ := strings.Cut(test.target, "?")
		if !strings.HasSuffix(target, "/v2/") && !strings.HasSuffix(target, "_catalog") {
			target += "/tags/list"
		}
		written := parsed(t, target+"?"+query)
		match, err := table.Find(written, test.usual)
		if err != nil {
			refused(t, test.target, err, strings.Replace(test.want, long[:64], "library/"+long[:64], 1))
			continue
		}
		got := match.Route.Name + " "
		if match.Request.Name != "" {
			got += match.Route.Upstream + "/" + match.Request.Name
		}
		if got = got + " " + match.Spelled; match.Spelled == "" {
			got = got[:len(got)-1]
		}
		if got != test.want {
			t.Errorf("%s, where %q is usual, leads to\n%s, want\n%s", test.target, test.usual, got, test.want)
		}
		rest := written
		rest.Prefix, rest.NS, rest.Name = "", "", match.Request.Name
		if match.Request != rest {
			t.Errorf("%s: the canonical request %+v is another one than %+v", test.target, match.Request, written)
		}
	}
}

// refused checks an error that clients are told: what it says, and that a log and a
// terminal can bear it.
func refused(t *testing.T, target string, err error, want string) {
	t.Helper()
	var refusal *registry.Error
	switch {
	case !errors.As(err, &refusal):
		t.Errorf("%s: %T is no refusal: %v", target, err, err)
	case refusal.Status != http.StatusNotFound || refusal.Code != registry.CodeNameUnknown:
		t.Errorf("%s is refused with %d %s", target, refusal.Status, refusal.Code)
	case !strings.Contains(refusal.Message, want):
		t.Errorf("%s is refused with\n%s, want\n%s", target, refusal.Message, want)
	case len(refusal.Message) > 300:
		t.Errorf("%s is refused with %d bytes", target, len(refusal.Message))
	case strings.ContainsFunc(refusal.Message, func(c rune) bool { return (c < ' ' || c > '~') && c != '…' }):
		t.Errorf("%s is refused with odd characters: %q", target, refusal.Message)
	}
}

// However many and long the routes' names are, a refusal stays short.
func TestRefusalsAreShort(t *testing.T) {
	var routes []route.Route
	for _, letter := range strings.Split("abcdefghijklmnop", "") {
		routes = append(routes, route.Route{Name: strings.Repeat(letter, 60) + ".example.com:8443", Upstream: "harbor", Prefix: letter, Repositories: pattern.All("team/**")})
	}
	table := route.New(routes)
	long := strings.Repeat("n", registry.MaxName)
	for _, request := range []registry.Request{
		{Kind: registry.KindTags, Name: long},
		{Kind: registry.KindTags, Name: long, Prefix: long},
		{Kind: registry.KindTags, Name: long, NS: strings.Repeat("\x00", registry.MaxName)},
		{Kind: registry.KindTags, Name: long, NS: strings.Repeat("\U0010ffff", registry.MaxName/4)},
		{Kind: registry.KindTags, Name: long, NS: routes[0].Name},
		{Kind: registry.KindTags, Name: "team/" + long[5:], NS: routes[0].Name},
		{Kind: registry.KindTags, Name: routes[0].Path() + "/" + long[len(routes[0].Path())+1:]},
	} {
		_, err := table.Find(request, "")
		refused(t, request.NS+request.Prefix+request.Name, err, "")
	}
}

// FuzzFind: wherever a request leads, the repository there has the names that are told
// of it, and each of them leads back.
func FuzzFind(f *testing.F) {
	for _, target := range []string{"/v2/nginx", "/v2/docker.io/library/nginx", "/quay.io/v2/docker.io/nginx", "/v2/coreos/etcd?ns=quay.io",
		"/v2/harbor.example.com_8443/quay.io/x", "/v2/hub-proxy/library/nginx?ns=harbor.example.com:8443", "/v2/hub-proxy/nginx?ns=harbor.example.com:8443",
		"/v2/ghcr.io/a/app", "/v2/a?ns=%22%0A", "/gcr.io/v2/a", "/v2/other.example.com/team-a/app", "/v2/mirrors/ghcr/single?ns=harbor.example.com:8443"} {
		path, query, _ := strings.Cut(target, "?")
		f.Add(path+"/tags/list?"+query, "docker.io")
	}
	table := route.New(sample)
	f.Fuzz(func(t *testing.T, target, usual string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		request, err := registry.Parse(http.MethodGet, u)
		if err != nil {
			return
		}
		match, err := table.Find(request, usual)
		if err != nil {
			refused(t, target, err, "")
			return
		}
		if request.Name == "" {
			return
		}
		leadsBack(t, table, match)
	})
}

// leadsBack checks the way back from where a match leads.
func leadsBack(t *testing.T, table *route.Table, match route.Match) {
	t.Helper()
	upstream, repository := match.Route.Upstream, match.Request.Name
	if !registry.ValidName(repository) || match.Request.Prefix != "" || match.Request.NS != "" {
		t.Fatalf("%+v is not canonical", match.Request)
	}
	if closest, ok := table.Of(upstream, repository); !ok || closest.Upstream != upstream || len(closest.Prefix) < len(match.Route.Prefix) {
		t.Errorf("%s has the settings of %s, and was led there by %s", repository, closest.Name, match.Route.Name)
	}
	own := false
	for _, name := range table.Names(upstream, repository) {
		host, below, _ := strings.Cut(name, "/")
		r, ok := table.Named(host)
		if again, opened := r.Below(repository); !ok || !opened || again != below {
			t.Fatalf("%s has the name %s, of which the route says %q", repository, name, again)
		}
		own = own || r.Name == match.Route.Name
		ways := []registry.Request{{Prefix: r.Path(), Name: below}, {Name: r.Path() + "/" + below}}
		if first, _, nested := strings.Cut(below, "/"); !nested || !isPath(table, first) {
			ways = append(ways, registry.Request{NS: r.Name, Name: below})
		}
		for _, way := range ways {
			way.Kind = registry.KindTags
			back, err := table.Find(way, "")
			if err != nil || back.Route.Upstream != upstream || back.Request.Name != repository {
				t.Errorf("%s has the name %s, and as %+v that leads to %s: %v", repository, name, way, back.Request.Name, err)
			}
		}
	}
	if !own {
		t.Errorf("%s was found by %s, and has no name there: %q", repository, match.Route.Name, table.Names(upstream, repository))
	}
}

func isPath(table *route.Table, first string) bool {
	match, err := table.Find(registry.Request{Kind: registry.KindCatalog, Prefix: first}, "")
	return err == nil && match.Route.Name != ""
}

func BenchmarkFind(b *testing.B) {
	table := route.New(sample)
	for by, target := range map[string]string{
		"usual":  "/v2/nginx/tags/list",
		"ns":     "/v2/library/nginx/tags/list?ns=docker.io",
		"path":   "/v2/quay.io/coreos/etcd/tags/list",
		"prefix": "/ghcr.io/v2/acme/app/tags/list",
	} {
		request := parsed(b, target)
		b.Run(by, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := table.Find(request, route.DockerHub); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNames(b *testing.B) {
	table := route.New(sample)
	b.ReportAllocs()
	for b.Loop() {
		if len(table.Names("harbor", "hub-proxy/library/nginx")) != 2 {
			b.Fatal("two routes lead there")
		}
	}
}
