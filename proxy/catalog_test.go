package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"breakwater/internal/pattern"
	"breakwater/proxy/access"
)

// names is a registry that has nothing but a catalog, and knows as last what it has, as
// Harbor does.
type names struct {
	all  []string                                      // in its order
	free bool                                          // any last will do, as with the distribution registry: all is in lexical order
	most int                                           // names on one page, however many were asked for; 0: no bound
	link func(last string, n int) string               // of the next page
	odd  func(http.ResponseWriter, *http.Request) bool // answers in its place, if it is true

	mu    sync.Mutex
	asked []string // queries
}

func (u *names) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v2/_catalog" {
		return // GET /v2/: no token is needed
	}
	u.mu.Lock()
	u.asked = append(u.asked, r.URL.RawQuery)
	u.mu.Unlock()
	if u.odd != nil && u.odd(w, r) {
		return
	}
	last := r.URL.Query().Get("last")
	from := slices.Index(u.all, last) + 1
	if last != "" && from == 0 && u.free {
		from, _ = slices.BinarySearch(u.all, last)
	} else if last != "" && from == 0 {
		w.WriteHeader(400)
		_, _ = fmt.Fprintf(w, `{"errors":[{"code":"BAD_REQUEST","message":"the last: %s should be a valid repository name."}]}`, last)
		return
	}
	rest := u.all[from:]
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil {
		n = len(rest)
	}
	if u.most > 0 {
		n = min(n, u.most)
	}
	if n < len(rest) && n > 0 {
		link := "/v2/_catalog?last=" + url.QueryEscape(rest[n-1]) + "&n=" + strconv.Itoa(n)
		if u.link != nil {
			link = u.link(rest[n-1], n)
		}
		w.Header().Set("Link", "<"+link+`>; rel="next"`)
		rest = rest[:n]
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string][]string{"repositories": rest})
}

func (u *names) questions() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	asked := u.asked
	u.asked = nil
	return asked
}

// showing is a gate behind which those repositories may be pulled.
func showing(patterns ...string) *access.Gate {
	rule := access.Rule{Anyone: true}
	for _, text := range patterns {
		rule.Pull = append(rule.Pull, pattern.New("harbor.example.com/"+text))
	}
	return access.New(access.Options{
		Listener: "test", Mode: access.NewAnonymous([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}), Allow: access.Policy{rule},
		Limits: access.Limits{Connections: 1 << 20, AddressPulls: 1 << 20, SubjectPulls: 1 << 20}, Events: &events{},
	})
}

// page asks for one, and returns its link.
func (w *world) page(query string) (shown []string, next string) {
	w.Helper()
	a := w.get(200, "GET /v2/_catalog"+query)
	head := w.get(200, "HEAD /v2/_catalog"+query)
	if len(head.body) > 0 || head.ContentLength != int64(len(a.body)) || head.Header.Get("Link") != a.Header.Get("Link") {
		w.Fatalf("%s: GET and HEAD differ: %v, %v", query, a.Header, head.Header)
	}
	if a.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(string(a.body), `{"repositories":[`) {
		w.Fatalf("%s: %v %.80s", query, a.Header, a.body)
	}
	return repositoriesIn(w.T, a.body), a.Header.Get("Link")
}

// walk follows the links from the first page, and checks what each gives away.
func (w *world) walk(n string, allowed []string) []string {
	w.Helper()
	var all []string
	query := "?n=" + n
	if n == "" {
		query = ""
	}
	for range len(allowed) + 2 {
		shown, next := w.page(query)
		all = append(all, shown...)
		if next == "" {
			return all
		}
		target, ok := strings.CutSuffix(strings.TrimPrefix(next, "</v2/_catalog"), `>; rel="next"`)
		u, err := url.Parse(target)
		if err != nil || !ok {
			w.Fatalf("the link %s", next)
		}
		last := u.Query().Get("last")
		if len(shown) == 0 || last != shown[len(shown)-1] || !slices.Contains(allowed, last) {
			w.Fatalf("the link %s after %v", next, shown)
		}
		if strconv.Itoa(len(shown)) != n && n != "" {
			w.Fatalf("%d on a page of %s that is not the last", len(shown), n)
		}
		query = target
	}
	w.Fatalf("the walk in steps of %q does not end", n)
	return nil
}

// A client sees what it may pull, whole, and nothing that tells of the rest, whatever
// pages it and the registry behind choose.
func TestCatalogsAreFiltered(t *testing.T) {
	var all []string
	for i := range 3000 {
		all = append(all, fmt.Sprintf("p%02d/r%04d", i/100, i))
	}
	for name, c := range map[string]struct {
		patterns []string
		allowed  []string
	}{
		"the first":         {[]string{"p00/r0000", "p00/r0001", "p00/r0002", "p00/r0003", "p00/r0004"}, all[:5]},
		"the last":          {[]string{"p29/r2995", "p29/r2996", "p29/r2997", "p29/r2998", "p29/r2999"}, all[2995:]},
		"at pages' borders": {[]string{"*/r0999", "*/r1000", "*/r1001", "*/r1999", "*/r2000"}, []string{all[999], all[1000], all[1001], all[1999], all[2000]}},
		"none":              {[]string{"p99/**"}, nil},
		"a project":         {[]string{"p07/**"}, all[700:800]},
	} {
		for behindIt, upstream := range map[string]*names{
			"a registry as it should be": {all: all, free: true},
			"Harbor":                     {all: all},
			"one with short pages":       {all: all, most: 499},
			"one that links elsewhere": {all: all, link: func(last string, n int) string {
				return fmt.Sprintf("https://elsewhere.example.com/v2/_catalog?n=%d&last=%s", n, url.QueryEscape(last))
			}},
		} {
			t.Run(name+", before "+behindIt, func(t *testing.T) {
				w := behind(t, showing(c.patterns...), upstream, oneRoute)
				for _, n := range []string{"", "1", "2", "5", "6", "1000", "5000"} {
					if n == "1" && len(c.allowed) > 5 {
						continue // a hundred walks
					}
					if got := w.walk(n, c.allowed); !slices.Equal(got, c.allowed) {
						t.Errorf("n=%s: %v, want %v", n, got, c.allowed)
					}
				}
				upstream.questions()
				if shown, next := w.page("?n=0"); len(shown) > 0 || next != "" || len(upstream.questions()) > 0 {
					t.Errorf("n=0: %v %q", shown, next)
				}
				if shown, next := w.page("?last=p29/r2999"); len(shown) > 0 || next != "" {
					t.Errorf("after the last: %v %q", shown, next)
				}
				// What is not shown is a place to go on from like any other.
				for _, last := range []string{"p00/r0001", "p07/r0733", "p10/r1000", "nowhere"} {
					var want []string
					for _, name := range c.allowed {
						if name > last {
							want = append(want, name)
						}
					}
					if shown, _ := w.page("?last=" + last); !slices.Equal(shown, want) {
						t.Errorf("after %s: %v, want %v", last, shown, want)
					}
				}
			})
		}
	}
}

// Of 3,000 repositories five are found by few questions: as many as there are pages.
func TestCatalogQuestionsAreFew(t *testing.T) {
	var all []string
	for i := range 3000 {
		all = append(all, fmt.Sprintf("p/r%04d", i))
	}
	upstream := &names{all: all}
	w := behind(t, showing("p/r0001", "p/r1500", "p/r2500", "p/r2501", "p/r2999"), upstream, oneRoute)
	w.get(200, "GET /v2/_catalog?n=2")
	want := []string{"n=1000", "last=p%2Fr0999&n=1000", "last=p%2Fr1999&n=1000"}
	if got := upstream.questions(); !slices.Equal(got, want) {
		t.Errorf("upstream was asked %q, want %q", got, want)
	}
	w.get(200, "GET /v2/_catalog?n=1")
	if got := upstream.questions(); !slices.Equal(got, want[:2]) {
		t.Errorf("for one it was asked %q, want %q", got, want[:2])
	}
}

// A catalog that breaks off is an error, never a short list.
func TestCatalogsThatCannotBeWalked(t *testing.T) {
	all := []string{"a/1", "a/2", "a/3", "b/1", "b/2", "c/1"}
	second := func(answer func(http.ResponseWriter)) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("last") == "" {
				return false
			}
			answer(w)
			return true
		}
	}
	for name, c := range map[string]struct {
		status int
		code   string
		odd    func(http.ResponseWriter, *http.Request) bool
	}{
		"a page is refused":       {403, "DENIED", second(func(w http.ResponseWriter) { w.WriteHeader(403) })},
		"a page fails":            {503, "UNAVAILABLE", second(func(w http.ResponseWriter) { w.Header().Set("Retry-After", "7"); w.WriteHeader(500) })},
		"a page is no list":       {502, "UNAVAILABLE", second(func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) })},
		"a page is of other JSON": {502, "UNAVAILABLE", second(func(w http.ResponseWriter) { _, _ = w.Write([]byte(`{"repositories":{"a":1}}`)) })},
		"a page comes again": {502, "UNAVAILABLE", second(func(w http.ResponseWriter) {
			w.Header().Set("Link", `</v2/_catalog?last=a%2F2&n=2>; rel="next"`)
			_, _ = w.Write([]byte(`{"repositories":["a/1","a/2"]}`))
		})},
		"the last page is empty and links": {200, "", second(func(w http.ResponseWriter) {
			w.Header().Set("Link", `</v2/_catalog?last=a%2F2&n=2>; rel="next"`)
			_, _ = w.Write([]byte(`{"repositories":[]}`))
		})},
	} {
		t.Run(name, func(t *testing.T) {
			w := behind(t, showing("a/*"), &names{all: all, most: 2, odd: c.odd}, oneRoute)
			if c.status == 200 {
				if shown, next := w.page(""); !slices.Equal(shown, all[:2]) || next != "" {
					t.Errorf("%v %q", shown, next)
				}
				return
			}
			a := w.refused(c.status, c.code, "GET /v2/_catalog")
			if strings.Contains(string(a.body), "a/1") || a.Header.Get("Link") != "" {
				t.Errorf("it gives a part: %v %s", a.Header, a.body)
			}
		})
	}
}
