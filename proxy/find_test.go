package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/blobcache"
	"breakwater/internal/harbortest"
	"breakwater/internal/pattern"
	"breakwater/proxy"
	"breakwater/proxy/access"
	"breakwater/proxy/route"

	"go.uber.org/zap"
)

// mirrored is what an operator writes whose clients are to pull by ordinary names.
func mirrored(s *settings) {
	s.routes = []route.Route{
		{Name: "docker.io", Upstream: "harbor", Prefix: "hub-proxy", Repositories: pattern.All("**"), ProxyCache: true, TagTTL: 15 * time.Minute},
		{Name: "harbor.example.com", Upstream: "harbor", Repositories: pattern.All("team-a/**", "library/**"), TagTTL: 10 * time.Second},
	}
	s.usual = "docker.io"
}

// Every spelling of a name leads to the same repository, which is asked for once, with a
// scope that names it as Harbor does.
func TestSpellingsShareOneEntry(t *testing.T) {
	inBubble(t, account, mirrored, func(b *bubble) {
		spellings := []string{
			"/v2/library/fresh/manifests/1.0",                   // dockerd with registry-mirrors
			"/v2/fresh/manifests/1.0",                           // somebody's curl
			"/v2/library/fresh/manifests/1.0?ns=docker.io",      // containerd
			"/v2/fresh/manifests/1.0?ns=registry-1.docker.io",   //
			"/v2/docker.io/library/fresh/manifests/1.0",         // podman
			"/v2/index.docker.io/fresh/manifests/1.0",           //
			"/docker.io/v2/library/fresh/manifests/1.0",         // dockerd 24 and later, by path
			"/v2/docker.io/fresh/manifests/1.0?ns=elsewhere.io", // the path says it
		}
		want := b.get(200, "GET "+spellings[0])
		var scopes []string
		for _, r := range b.harbor.Requests() {
			if strings.Contains(r.Path, "/token") {
				scopes = append(scopes, r.Query)
			} else if r.Path != "/v2/" && !strings.HasPrefix(r.Path, "/v2/hub-proxy/library/fresh/manifests/") || r.Query != "" {
				b.Errorf("Harbor saw %s?%s", r.Path, r.Query)
			}
		}
		if len(scopes) != 1 || !strings.Contains(scopes[0], "hub-proxy%2Flibrary%2Ffresh%3Apull") && !strings.Contains(scopes[0], "hub-proxy/library/fresh:pull") {
			b.Errorf("the scopes were %q", scopes)
		}
		b.harbor.ResetRequests()
		for _, spelled := range spellings {
			a := b.get(200, "GET "+spelled)
			if string(a.body) != string(want.body) || !strings.Contains(a.Header.Get("Cache-Status"), "; hit") {
				b.Errorf("%s: %s", spelled, a.Header.Get("Cache-Status"))
			}
		}
		b.expect()
	})
}

// The world is closed: what no route opens is unknown, and Harbor is not asked.
func TestUnroutedIsUnknown(t *testing.T) {
	inBubble(t, account, mirrored, func(b *bubble) {
		for request, said := range map[string]string{
			"GET /v2/library/fresh/manifests/1.0?ns=quay.io":                  "docker.io, harbor.example.com",
			"GET /v2/?ns=quay.io":                                             "quay.io",
			"GET /quay.io/v2/":                                                "quay.io",
			"GET /quay.io/v2/library/fresh/manifests/1.0":                     "quay.io",
			"GET /v2/harbor.example.com/team-b/secret/manifests/1.0":          "repositories",
			"GET /v2/hub-proxy/library/fresh/tags/list?ns=harbor.example.com": "repositories",
			"GET /quay.io/v2/_catalog":                                        "quay.io",
		} {
			a := b.refused(404, "NAME_UNKNOWN", request)
			if !strings.Contains(string(a.body), said) {
				b.Errorf("%s: %s", request, a.body)
			}
		}
		b.expect()
	})
	without := func(s *settings) { mirrored(s); s.usual = "" }
	inBubble(t, account, without, func(b *bubble) {
		b.refused(404, "NAME_UNKNOWN", "GET /v2/library/fresh/manifests/1.0")
		b.get(200, "GET /v2/docker.io/library/fresh/manifests/1.0")
		b.get(200, "GET /v2/")
	})
}

// refused is get with the registry error code that the answer must carry.
func (b *bubble) refused(status int, code, request string) answer {
	b.Helper()
	a := b.get(status, request)
	if !strings.HasPrefix(string(a.body), `{"errors":[{"code":"`+code+`","message":"`) {
		b.Errorf("%s: %s, want %s", request, a.body, code)
	}
	return a
}

// What a client is told has the names that it knows.
func TestAnswersHaveTheClientsNames(t *testing.T) {
	inBubble(t, account, mirrored, func(b *bubble) {
		for path, base := range map[string]string{
			"/v2": "/v2/", "/docker.io/v2": "/docker.io/v2/", "/v2/docker.io/library/fresh/blobs/uploads/v2": "",
		} {
			a := b.send("GET " + path)
			if location := a.Header.Get("Location"); location != base || (base != "") != (a.StatusCode == 301) {
				b.Errorf("%s: %d to %q", path, a.StatusCode, location)
			}
		}
		b.get(200, "GET /v2/library/fresh/manifests/1.0")
		for asked, link := range map[string]string{
			"/v2/library/fresh/tags/list":                        "",
			"/v2/fresh/tags/list?ns=docker.io":                   "",
			"/v2/docker.io/library/fresh/tags/list":              "",
			"/docker.io/v2/library/fresh/tags/list":              "",
			"/v2/harbor.example.com/team-a/app/tags/list?n=1":    `</v2/harbor.example.com/team-a/app/tags/list?last=1.0&n=1>; rel="next"`,
			"/harbor.example.com/v2/team-a/app/tags/list?n=1":    `</harbor.example.com/v2/team-a/app/tags/list?last=1.0&n=1>; rel="next"`,
			"/v2/team-a/app/tags/list?n=1&ns=harbor.example.com": `</v2/team-a/app/tags/list?last=1.0&n=1&ns=harbor.example.com>; rel="next"`,
		} {
			a := b.get(200, "GET "+asked)
			var tags struct {
				Name string
				Tags []string
			}
			if err := json.Unmarshal(a.body, &tags); err != nil || len(tags.Tags) == 0 {
				b.Errorf("%s: %s", asked, a.body)
			}
			_, rest, _ := strings.Cut(asked, "/v2/")
			if name, _, _ := strings.Cut(rest, "/tags/"); tags.Name != name {
				b.Errorf("%s names %s", asked, tags.Name)
			}
			if got := a.Header.Get("Link"); got != link {
				b.Errorf("%s: the link is %s, want %s", asked, got, link)
			}
		}
		for _, asked := range []string{
			"GET /v2/docker.io/library/nothing/manifests/1.0", "GET /v2/library/nothing/manifests/1.0", "GET /v2/nothing/tags/list",
			"GET /v2/library/nothing/blobs/sha256:" + strings.Repeat("0", 64),
		} {
			for range 2 { // the second is remembered from the first
				if a := b.send(asked); a.StatusCode != 404 || strings.Contains(string(a.body), "hub-proxy") {
					b.Errorf("%s: %d %s", asked, a.StatusCode, a.body)
				}
			}
		}
		for _, line := range b.served() {
			if line["repository"] == "hub-proxy/library/fresh" && (line["route"] != "docker.io" || line["name"] == "") {
				b.Errorf("the line is %v", line)
			}
		}
	})
}

// served are the lines of the log about requests.
func (b *bubble) served() []map[string]any {
	var lines []map[string]any
	for text := range strings.Lines(b.log.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err == nil && line["msg"] == "request" {
			lines = append(lines, line)
		}
	}
	return lines
}

// A catalog is of the registry that was asked for, or of all with names by which each
// can be pulled.
func TestCatalogOfRoutes(t *testing.T) {
	quay := func(s *settings) {
		s.routes = []route.Route{
			{Name: "quay.io", Upstream: "harbor", Prefix: "team-a", Repositories: pattern.All("app", "nested/**"), TagTTL: time.Minute},
			{Name: "a.example.com:8443", Upstream: "harbor", Repositories: pattern.All("library/**"), TagTTL: time.Minute},
		}
		s.usual = "quay.io"
	}
	inBubble(t, account, quay, func(b *bubble) {
		usual := []string{"app", "nested/deep/name"}
		other := []string{"library/base", "library/base-oci", "library/multi", "library/multi-docker"}
		all := slices.Clone(usual)
		for _, name := range other {
			all = append(all, "a.example.com_8443/"+name)
		}
		for asked, want := range map[string][]string{
			"/v2/_catalog?": all, "/v2/_catalog?ns=quay.io&": usual, "/quay.io/v2/_catalog?": usual,
			"/v2/_catalog?ns=a.example.com%3A8443&": other,
		} {
			for n := 1; n <= len(want)+1; n++ {
				if got := b.pages(asked, n); !slices.Equal(got, want) {
					b.Errorf("%s by %d: %v, want %v", asked, n, got, want)
				}
			}
		}
		for _, name := range all {
			b.get(200, "GET /v2/"+name+"/tags/list") // it can be pulled by its name in the catalog
		}
	})
}

// A project in Harbor that is called like a route hides nothing that comes after it, and
// is shown where it can be pulled by that name.
func TestAProjectCalledLikeARoute(t *testing.T) {
	all := []string{"a/1", "docker.io/a", "docker.io/b", "zz/c"}
	both := func(s *settings) {
		s.routes = []route.Route{
			{Name: "harbor.example.com", Upstream: "harbor", Repositories: pattern.All("**"), TagTTL: time.Minute},
			{Name: "docker.io", Upstream: "harbor", Prefix: "hub", Repositories: pattern.All("**"), TagTTL: time.Minute},
		}
	}
	w := behind(t, nil, &names{all: all}, both)
	for asked, want := range map[string][]string{
		"/v2/_catalog": {"a/1", "zz/c"}, "/harbor.example.com/v2/_catalog": all, "/v2/_catalog?last=a/1": {"zz/c"},
	} {
		if got := repositoriesIn(t, w.get(200, "GET "+asked).body); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", asked, got, want)
		}
	}
}

// Whoever may see nothing of a registry makes nobody be asked about it, and a catalog that
// goes in circles is left.
func TestCatalogsThatAreNotWalked(t *testing.T) {
	upstream := &names{all: []string{"a/1"}}
	w := behind(t, showing("a/*"), upstream) // of docker.io nothing
	w.get(200, "GET /docker.io/v2/_catalog")
	if asked := upstream.questions(); len(asked) > 0 {
		t.Errorf("asked: %v", asked)
	}
	turns := 0
	w = behind(t, nil, &names{odd: func(rw http.ResponseWriter, _ *http.Request) bool {
		turns++
		rw.Header().Set("Link", `</v2/_catalog?last=x&n=1>; rel="next"`)
		rw.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(rw, `{"repositories":["a%d"]}`, turns%2)
		return true
	}})
	w.refused(502, "UNAVAILABLE", "GET /v2/_catalog")
	if turns > 3 {
		t.Errorf("it was asked %d times", turns)
	}
}

// Behind a gate that hides, what is unknown, not opened or denied reads the same.
func TestWhatIsHiddenReadsTheSame(t *testing.T) {
	inBubble(t, account, mirrored, func(b *bubble) {
		b.gate = access.New(access.Options{
			Listener: "test", Mode: access.NewAnonymous([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}), Events: b.events, Hide: true,
			Allow:  access.Policy{{Anyone: true, Pull: pattern.All("docker.io/library/fresh")}},
			Limits: access.Limits{Connections: 1 << 20, AddressPulls: 1 << 20, SubjectPulls: 1 << 20},
		})
		for path, name := range map[string]string{
			"/v2/library/trim/tags/list":                     "library/trim",                     // denied
			"/v2/harbor.example.com/team-b/secret/tags/list": "harbor.example.com/team-b/secret", // not opened
			"/v2/x/y/tags/list?ns=quay.io":                   "x/y",                              // no such route
			"/quay.io/v2/x/y/tags/list":                      "x/y",
			"/v2/harbor.example.com/team-a/app/tags/list":    "harbor.example.com/team-a/app", // denied
		} {
			if a := b.get(404, "GET "+path); string(a.body) != `{"errors":[{"code":"NAME_UNKNOWN","message":"`+name+` is not known here"}]}`+"\n" {
				b.Errorf("%s: %s", path, a.body)
			}
		}
	})
}

// pages walks through a catalog by its links.
func (b *bubble) pages(asked string, n int) []string {
	b.Helper()
	path, _, _ := strings.Cut(asked, "?")
	var all []string
	for next := fmt.Sprintf("%sn=%d", asked, n); ; {
		a := b.get(200, "GET "+next)
		all = append(all, repositoriesIn(b.T, a.body)...)
		link := a.Header.Get("Link")
		if link == "" || len(all) > 100 {
			return all
		}
		next = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		if !strings.HasPrefix(next, path+"?") {
			b.Fatalf("%s goes on at %s", asked, next)
		}
	}
}

// A rule of one name of a repository holds for all of them, and no spelling goes round it.
func TestPolicyHoldsForEverySpelling(t *testing.T) {
	allowed := func(s *settings) {
		mirrored(s)
		s.routes[1].Repositories = pattern.All("**") // Harbor's own names lead to hub-proxy as well
	}
	inBubble(t, account, allowed, func(b *bubble) {
		b.gate = access.New(access.Options{
			Listener: "test", Mode: access.NewAnonymous([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}), Events: b.events,
			Allow:  access.Policy{{Anyone: true, Pull: pattern.All("docker.io/library/fresh", "harbor.example.com/team-a/**")}},
			Limits: access.Limits{Connections: 1 << 20, AddressPulls: 1 << 20, SubjectPulls: 1 << 20},
		})
		for path, status := range map[string]int{
			"/v2/fresh/manifests/1.0":                                         200,
			"/v2/docker.io/library/fresh/manifests/1.0":                       200,
			"/v2/harbor.example.com/hub-proxy/library/fresh/manifests/1.0":    200,
			"/v2/hub-proxy/library/fresh/manifests/1.0?ns=harbor.example.com": 200,
			"/v2/trim/manifests/1":                                            403,
			"/v2/harbor.example.com/hub-proxy/library/trim/manifests/1":       403,
			"/harbor.example.com/v2/hub-proxy/library/trim/manifests/1":       403,
			"/v2/harbor.example.com/team-a/app/manifests/1.0":                 200,
			"/v2/harbor.example.com/team-b/secret/manifests/1.0":              403,
			"/v2/docker.io/harbor.example.com/team-b/secret/manifests/1.0":    404,
			"/docker.io/v2/harbor.example.com/team-b/secret/manifests/1.0":    404,
		} {
			b.get(status, "GET "+path)
		}
	})
}

// Several upstreams have nothing of each other: neither content nor permission, nor what
// ails one.
func TestSeveralUpstreams(t *testing.T) {
	w := newWorld(t, account)
	other := harbortest.New()
	if err := harbortest.Seed(other); err != nil {
		t.Fatal(err)
	}
	other.SetLoginDelay(0)
	second, err := other.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = second.Close() })
	client := w.clientOf("second", second.URL, func() (string, string) { return harbortest.Puller, harbortest.Password(harbortest.Puller) })
	t.Cleanup(func() { _ = client.Close() })
	cache, err := blobcache.Open(t.Context(), blobcache.Options{Dir: t.TempDir(), MaxSize: 1 << 30, Memory: 16 << 20, Events: w.events, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	p := proxy.New(proxy.Options{
		Routes: route.New([]route.Route{
			{Name: "one.example.com", Upstream: "harbor", Repositories: pattern.All("**"), TagTTL: time.Minute},
			{Name: "two.example.com", Upstream: "second", Repositories: pattern.All("**"), TagTTL: time.Minute},
		}),
		Origins: []proxy.Origin{{Upstream: w.client, Policy: w.policy.Policy}, {Upstream: client, Policy: w.policy.Policy}},
		Cache:   cache, UserAgent: "breakwater/test", Events: w.events, Log: w.newLog(),
	})
	t.Cleanup(func() { _ = p.Close() })
	server := httptest.NewServer(p.Behind(openGate(), "one.example.com"))
	t.Cleanup(server.Close)
	w.url = server.URL

	layer := w.layer("team-b/secret")
	w.get(200, "GET /v2/team-b/secret/blobs/"+layer)
	// It is held, and the account at the second may not have it there.
	w.get(404, "GET /v2/two.example.com/team-b/secret/blobs/"+layer)
	w.get(404, "GET /v2/two.example.com/team-b/secret/manifests/1.0")
	w.get(200, "GET /v2/two.example.com/team-a/app/manifests/1.0")
	a := w.get(403, "GET /v2/_catalog")
	for _, said := range []string{"upstream second", "that of two.example.com", "/v2/_catalog"} {
		if !strings.Contains(string(a.body), said) {
			t.Errorf("%s is not told of who does not show its catalog: %s", said, a.body)
		}
	}
	if a := w.get(403, "GET /two.example.com/v2/_catalog"); strings.Contains(string(a.body), "all registries") {
		t.Errorf("of one registry it is told %s", a.body)
	}
	w.get(200, "GET /one.example.com/v2/_catalog")
	w.harbor.SetDown(harbortest.Core, true)
	a = w.get(503, "GET /v2/library/base/manifests/1.0")
	if !strings.Contains(string(a.body), "upstream harbor") {
		t.Errorf("which upstream is down is not told: %s", a.body)
	}
	w.get(200, "GET /v2/two.example.com/library/base/manifests/1.0")
	if served := w.events.last(t); served.Route != "two.example.com" {
		t.Errorf("counted for the route %q", served.Route)
	}
}
