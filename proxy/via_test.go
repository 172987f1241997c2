package proxy_test

import (
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"breakwater/internal/harbortest"
)

// forwarder is another name for a place that is known later. It counts what passes.
func forwarder(t *testing.T) (front *httptest.Server, to func(string), passed *atomic.Int64) {
	t.Helper()
	var target atomic.Pointer[url.URL]
	passed = new(atomic.Int64)
	front = httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(pr *httputil.ProxyRequest) {
		passed.Add(1)
		pr.SetURL(target.Load())
	}})
	t.Cleanup(front.Close)
	return front, func(where string) {
		u, err := url.Parse(where)
		if err != nil {
			t.Fatal(err)
		}
		target.Store(u)
	}, passed
}

// A circle is found by the first request that goes round, not by one that has waited for
// itself until it is too late; of several at once, by each.
func TestCirclesAreFound(t *testing.T) {
	const zeros = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for name, between := range map[string]int{"to itself, by another name": 0, "by another Breakwater": 1, "by two others": 2} {
		t.Run(name, func(t *testing.T) {
			front, to, passed := forwarder(t)
			next := front.URL
			for range between {
				next = node(t, next, nil, nil).url
			}
			n := node(t, next, nil, nil)
			to(n.url)
			n.get(200, "GET /v2/")
			for _, request := range []string{
				"GET /v2/team-a/app/manifests/1.0", "HEAD /v2/team-a/app/manifests/1.1", "GET /v2/team-a/app/manifests/" + zeros,
				"GET /v2/team-a/app/blobs/" + zeros, "HEAD /v2/team-a/app/blobs/" + strings.Replace(zeros, "0", "1", 1),
				"GET /v2/team-a/app/tags/list", "GET /v2/team-a/app/referrers/" + zeros,
			} {
				before := passed.Load()
				got := n.get(508, request)
				if strings.HasPrefix(request, "GET") && !strings.Contains(string(got.body), "in a circle") {
					t.Errorf("%s: %s", request, got.body)
				}
				if went := passed.Load() - before; went > 2 { // a HEAD may become a GET
					t.Errorf("%s went round %d times", request, went)
				}
			}
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					if _, err := n.fetch(t.Context(), "/v2/team-a/app/manifests/latest"); err == nil || !strings.Contains(err.Error(), "508") {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if log := n.log.String(); !strings.Contains(log, "came through this Breakwater before: look at the url of upstream regional, to which the route harbor.example.com leads") {
				t.Errorf("the operator is not told where to look:\n%s", log)
			}
		})
	}
}

var ours = regexp.MustCompile(`^1\.1 breakwater-[a-z2-7]{26}$`)

// viaOf are the entries of Via that Harbor saw last.
func viaOf(t *testing.T, h *harbortest.Harbor) (entries []string) {
	t.Helper()
	for _, r := range h.Requests() {
		if strings.Contains(r.Path, "/team-a/") && !r.IsToken() {
			entries = strings.Split(r.Header.Get("Via"), ", ")
			for _, entry := range entries {
				if !ours.MatchString(entry) {
					t.Errorf("%s says Via: %s", r.Path, entry)
				}
			}
		}
	}
	h.ResetRequests()
	return entries
}

// Via says which Breakwaters a request came through, and nothing else: not what a client
// says there.
func TestViaNamesTheWay(t *testing.T) {
	regional := newWorld(t, account)
	n := node(t, regional.url, nil, nil)
	direct := regional.get(200, "GET /v2/team-a/app/manifests/1.0")
	own := viaOf(t, regional.harbor)
	if len(own) != 1 || direct.Header.Get("Via") != own[0] {
		t.Errorf("Harbor is told %v, the client %q", own, direct.Header.Get("Via"))
	}
	through := n.get(200, "GET /v2/team-a/app/manifests/1.1", "Via: 1.1 proxy.internal (a, b), 1.1 breakwater-forged", "Via: 1.0 fred, HTTP/1.1 "+strings.Repeat("x", 4000))
	way := viaOf(t, regional.harbor)
	if len(way) != 2 || way[1] != own[0] || through.Header.Get("Via") != way[0] {
		t.Errorf("Harbor is told %v, the client %q", way, through.Header.Get("Via"))
	}
	// What is shared and detached, a blob's transfer above all, tells the same.
	for _, child := range listed(t, through.body) {
		n.get(200, "GET /v2/team-a/app/blobs/"+child.digest.String())
		if got := viaOf(t, regional.harbor); len(got) != 2 || got[0] != way[0] {
			t.Errorf("of a blob Harbor is told %v", got)
		}
	}
}

// What a client says in Via is not believed further than that it came by a long way, or
// through us.
func TestForgedWays(t *testing.T) {
	w := newWorld(t, account)
	own := w.get(200, "GET /v2/").Header.Get("Via")
	foreign := func(i int) string { return "1.1 breakwater-" + strings.Repeat(string(rune('a'+i)), 26) }
	several := func(n int) string {
		var entries []string
		for i := range n {
			entries = append(entries, foreign(i))
		}
		return strings.Join(entries, ",")
	}
	for via, status := range map[string]int{
		"":                                     200,
		several(8):                             200,
		several(9):                             508,
		several(1) + ", " + own:                508,
		"2.0" + strings.TrimPrefix(own, "1.1"): 508,
		strings.Repeat("1.1 a,", 5000):         200,
		own + "x":                              200,
	} {
		got := w.get(status, "GET /v2/team-a/app/manifests/1.0", "Via: "+via)
		if status == 508 {
			w.refused(508, "UNAVAILABLE", "GET /v2/team-a/app/manifests/1.0", "Via: "+via)
			if served := w.events.last(t); served.Status != 508 || served.Kind != "manifest" {
				t.Errorf("counted as %+v", served)
			}
		}
		if got.Header.Get("Via") != own {
			t.Errorf("the answer says Via: %q", got.Header.Get("Via"))
		}
	}
	if log := w.log.String(); strings.Contains(log, foreign(0)) || !strings.Contains(log, `"status":508`) {
		t.Error("the log holds what a client said, or not what it was told")
	}
}
