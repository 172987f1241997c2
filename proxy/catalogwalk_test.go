package proxy_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/internal/pattern"
	"breakwater/proxy/route"
)

// Harbor goes on after no repository but one that it has. Where the client stands at
// another, or the last one of a page is deleted meanwhile, the list is still whole.
func TestCatalogAfterWhatIsNotThere(t *testing.T) {
	var all []string
	for i := range 2500 {
		all = append(all, fmt.Sprintf("p/r%04d", i))
	}
	upstream := &names{all: all}
	w := behind(t, showing("p/r0*9", "p/r1500", "p/r24*"), upstream, oneRoute)
	if shown, _ := w.page("?n=2&last=p/r1499x"); !slices.Equal(shown, []string{"p/r1500", "p/r2400"}) {
		t.Errorf("after what never was: %v", shown)
	}
	upstream.questions()
	w.get(200, "GET /v2/_catalog?n=1&last=p/r1500")
	if got := upstream.questions(); !slices.Equal(got, []string{"last=p%2Fr1500&n=1000"}) {
		t.Errorf("after what is there upstream was asked %q", got)
	}
	deleted := false
	upstream.odd = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("last") == all[999] && !deleted {
			upstream.all, deleted = slices.Delete(slices.Clone(all), 999, 1000), true
		}
		return false
	}
	var want []string
	for _, name := range all {
		if strings.HasPrefix(name, "p/r0") && strings.HasSuffix(name, "9") || name == "p/r1500" || name >= "p/r2400" {
			want = append(want, name)
		}
	}
	if got := repositoriesIn(t, w.get(200, "GET /v2/_catalog").body); !slices.Equal(got, want) || !deleted {
		t.Errorf("%d names, want %d: %v", len(got), len(want), got)
	}
	upstream.odd = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("last") == "" {
			return false
		}
		w.WriteHeader(400)
		return true
	}
	upstream.questions()
	w.refused(502, "UNAVAILABLE", "GET /v2/_catalog?last=p/r0001")
	if got := upstream.questions(); len(got) != 3 {
		t.Errorf("what knows no last at all was asked %q", got)
	}
}

// However many routes lead to an upstream, its catalog is walked through once for all, and
// from where the client stands.
func TestOneWalkForAllRoutes(t *testing.T) {
	upstream := &names{}
	many := func(s *settings) {
		for i := range 50 {
			s.routes = append(s.routes, route.Route{Name: fmt.Sprintf("r%02d.example.com", i), Upstream: "harbor", Prefix: fmt.Sprintf("z%02d", i), Repositories: pattern.All("*"), TagTTL: time.Minute})
		}
	}
	var all []string // by the names of Harbor's own route, which is usual
	var below []string
	for i := range 2000 {
		all = append(all, fmt.Sprintf("z%02d/r%04d", i/40, i))
		below = append(below, fmt.Sprintf("r%02d.example.com/r%04d", i/40, i))
	}
	upstream.all = all
	w := behind(t, nil, upstream, many)
	want := slices.Concat(all, below)
	if got := w.walk("1000", want); !slices.Equal(got, want) {
		t.Errorf("%d names, want %d", len(got), len(want))
	}
	withoutUsual := func(s *settings) { many(s); s.routes, s.usual = s.routes[2:], "" }
	w = behind(t, nil, upstream, withoutUsual)
	for _, test := range []struct {
		query string
		shown []string
		asked []string
	}{
		{"", below[:1000], []string{"n=1000", "last=z24%2Fr0999&n=1000"}},
		{"?n=30", below[:30], []string{"n=1000"}},
		{"?n=30&last=r20.example.com/r0801", below[802:832], []string{"last=z20%2Fr0801&n=1000"}},
		{"?n=30&last=r20.example.com/r0820", below[821:851], []string{"last=z20%2Fr0820&n=1000", "n=1000"}},
		{"?last=r49.example.com/r1998", below[1999:], []string{"last=z49%2Fr1998&n=1000"}},
		{"?n=2&last=r20", below[800:802], []string{"n=1000"}},              // a registry that is gone
		{"?n=2&last=r20.example.com/", below[800:802], []string{"n=1000"}}, // the beginning of one
		{"?last=zz", nil, nil},
	} {
		upstream.questions()
		shown := repositoriesIn(t, w.get(200, "GET /v2/_catalog"+test.query).body)
		if asked := upstream.questions(); !slices.Equal(shown, test.shown) || !slices.Equal(asked, test.asked) {
			t.Errorf("%s: %v, want %v; upstream was asked %q, want %q", test.query, shown, test.shown, asked, test.asked)
		}
	}
}

// What a rule allows by one name is shown by the others too.
func TestCatalogsShowWhatAnotherNameAllows(t *testing.T) {
	upstream := &names{all: []string{"hub-proxy/library/a", "hub-proxy/library/b", "team-a/app"}}
	w := behind(t, showing("hub-proxy/library/a", "team-a/**"), upstream)
	for asked, want := range map[string][]string{
		"/docker.io/v2/_catalog": {"library/a"},
		"/v2/_catalog":           {"hub-proxy/library/a", "team-a/app", "docker.io/library/a"},
	} {
		if got := repositoriesIn(t, w.get(200, "GET "+asked).body); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", asked, got, want)
		}
	}
}

// An upstream may have an order of its own: some registries put a / before all other
// characters, and a Breakwater lists one registry after the other.
func TestCatalogsInOtherOrders(t *testing.T) {
	at := func(prefix string) func(*settings) {
		return func(s *settings) {
			s.routes = []route.Route{{Name: "harbor.example.com", Upstream: "harbor", Prefix: prefix, Repositories: pattern.All("**"), TagTTL: time.Minute}}
		}
	}
	breakwater := func(w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Cache-Status", "breakwater; fwd=bypass")
		return false
	}
	for name, test := range map[string]struct {
		prefix   string
		upstream *names
		want     []string
	}{
		"a / first":    {"a-b", &names{all: []string{"a/x", "a/y", "a-b/x", "a-b/y", "ab/x"}, most: 2}, []string{"x", "y"}},
		"a Breakwater": {"docker.io", &names{all: []string{"team-a/x", "team-b/y", "a.example.com/x", "docker.io/x/y"}, most: 2, odd: breakwater}, []string{"x/y"}},
	} {
		w := behind(t, nil, test.upstream, at(test.prefix))
		if got := repositoriesIn(t, w.get(200, "GET /v2/_catalog").body); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// No request makes upstream be asked without end; whoever knows a name goes on after it.
func TestCatalogsHaveABound(t *testing.T) {
	upstream := &names{most: 1}
	for i := range 1100 {
		upstream.all = append(upstream.all, fmt.Sprintf("a/%04d", i))
	}
	w := behind(t, showing("a/1099"), upstream, oneRoute)
	a := w.refused(502, "UNAVAILABLE", "GET /v2/_catalog")
	if asked := len(upstream.questions()); asked != 1000 || !strings.Contains(string(a.body), "1000 pages") {
		t.Errorf("it was asked %d times: %s", asked, a.body)
	}
	if got := repositoriesIn(t, w.get(200, "GET /v2/_catalog?last=a/0500").body); !slices.Equal(got, []string{"a/1099"}) {
		t.Errorf("in parts: %v", got)
	}
}
