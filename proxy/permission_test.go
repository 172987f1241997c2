package proxy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/proxy/access"
	"breakwater/proxy/registry"
)

// repository is one, as it is for those who ask.
type repository struct {
	image
	missing bool
	public  bool // whoever is known may pull from it
	closed  bool // nobody who asks here may
}

// cell is one of the table's.
type cell struct {
	listener
	who  who
	from repository
	wanted
	held bool
	down bool // Harbor, or its database
}

// letIn tells whether the listener knows who asks.
func (c cell) letIn() bool { return c.stranger == 0 || c.who == other || c.who == allowed }

// may tells whether whoever is let in may have it: what everybody may, and team-a if
// it is the one who may.
func (c cell) may() bool {
	return c.from.public || !c.from.closed && (c.stranger == 0 || c.who == allowed)
}

// status is what the rules come to, first what concerns who asks, then what is there.
func (c cell) status() int {
	switch {
	case c.asks && c.down && c.who != nobody:
		return http.StatusServiceUnavailable // nobody can say who it is, and so nobody says no
	case !c.letIn():
		return c.stranger
	case c.kind == registry.KindBase:
		return http.StatusOK
	case c.kind != registry.KindCatalog && !c.may():
		return http.StatusForbidden
	case c.down && c.held && !c.from.missing && (c.kind == registry.KindManifest || c.kind == registry.KindBlob):
		return c.found
	case c.down:
		return http.StatusServiceUnavailable
	case c.from.missing && c.kind != registry.KindReferrers: // Harbor has an empty list for whatever is unknown
		return http.StatusNotFound
	}
	return c.found
}

// turnedAway is how many refusals of a gate are in an answer.
func (c cell) turnedAway(status int) int {
	unknowable := status == http.StatusServiceUnavailable && c.asks && c.down && c.who != nobody
	if status == http.StatusUnauthorized || status == http.StatusForbidden || unknowable {
		return 1
	}
	return 0
}

// code is the registry's for a status.
func (c cell) code(status int) registry.Code {
	return map[int]registry.Code{
		http.StatusUnauthorized: registry.CodeUnauthorized, http.StatusForbidden: registry.CodeDenied,
		http.StatusNotFound: c.kind.Unknown(), http.StatusServiceUnavailable: registry.CodeUnavailable,
	}[status]
}

// Who may pull what, whatever is held and whatever is down.
func TestPermissions(t *testing.T) {
	states := map[string]harbortest.Part{"up": "", "down": harbortest.Core, "database down": harbortest.Database}
	for name, open := range listeners {
		for state, part := range states {
			for _, held := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s/%s/held=%v", name, state, held), func(t *testing.T) {
					inBubble(t, account, nil, func(b *bubble) {
						l := open(b)
						repositories := b.repositories(held)
						visible := b.visible()
						b.gateOf(l)
						if part != "" {
							b.harbor.SetDown(part, true)
						}
						b.pass(2 * time.Minute) // no tag is fresh, and Harbor knows how it is
						for _, who := range everybody {
							for _, w := range common() {
								b.check(cell{l, who, repository{}, w, held, part != ""}, visible)
							}
							for _, from := range repositories {
								for _, w := range from.wanted() {
									b.check(cell{l, who, from, w, held, part != ""}, visible)
								}
							}
						}
						b.audited()
					})
				})
			}
		}
	}
}

// audited checks that each refusal has its line, with the word by which it is counted.
func (b *bubble) audited() {
	b.Helper()
	counted, written := map[string]int{}, map[string]int{}
	for _, why := range b.events.refusals {
		if why != access.NoCredentials { // with which each pull of some clients begins
			counted[string(why)]++
		}
	}
	for line := range strings.Lines(b.log.String()) {
		var refusal struct{ Level, Msg, Refused string }
		if err := json.Unmarshal([]byte(line), &refusal); err != nil {
			b.Fatal(err)
		}
		if refusal.Msg == "refused" {
			written[refusal.Refused]++
			if refusal.Level != "warn" {
				b.Errorf("at the level %s: %s", refusal.Level, line)
			}
		}
	}
	if !maps.Equal(counted, written) {
		b.Errorf("the log has %v, counted are %v", written, counted)
	}
}

// repositories are what is asked for, whether it is held or not. What is let in last
// is what is held from then on.
func (b *bubble) repositories(held bool) []repository {
	app, secret, base := b.imageOf("team-a/app", "1.0"), b.imageOf("team-b/secret", "1.0"), b.imageOf("library/base", "1.0")
	if held {
		for _, i := range []image{app, secret, base} {
			b.pull(i.repository, i.tag)
		}
	}
	nowhere := func(name string) image { return image{name, app.tag, app.manifest, app.blob} } // a digest is no permission
	return []repository{
		{image: secret, closed: true},
		{image: nowhere("team-b/none"), closed: true, missing: true},
		{image: nowhere("team-a/none"), missing: true},
		{image: base, public: true},
		{image: app},
	}
}

// visible are the repositories that a catalog shows, by who asks.
func (b *bubble) visible() func(cell) []string {
	body, _ := b.atHarbor(registry.Request{Kind: registry.KindCatalog, Method: http.MethodGet})
	all := repositoriesIn(b.T, body)
	return func(c cell) []string {
		shown := []string{}
		for _, name := range all {
			project, _, _ := strings.Cut(name, "/")
			c.from = repository{public: project == "library", closed: project != "team-a"}
			if c.may() {
				shown = append(shown, name)
			}
		}
		return shown
	}
}

func repositoriesIn(t *testing.T, body []byte) []string {
	t.Helper()
	var catalog struct{ Repositories []string }
	if err := json.Unmarshal(body, &catalog); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return catalog.Repositories
}

// check makes the request, and looks at all that is said about permission in the
// answer.
func (b *bubble) check(c cell, visible func(cell) []string) {
	b.Helper()
	synctest.Wait()
	b.harbor.ResetRequests()
	refused := len(b.events.refusals)
	got, want := b.ask(c.say[c.who], c.wanted), c.status()
	synctest.Wait()
	fail := func(format string, args ...any) {
		b.Helper()
		b.Errorf("%s, %s: %s, want %d: %s\n%s", c.who, c.wanted, got.Status, want, fmt.Sprintf(format, args...), got.body)
	}
	if got.StatusCode != want {
		fail("the status")
		return
	}
	if got.Header.Get("Cache-Control") != map[bool]string{true: "private"}[c.stranger != 0] {
		fail("Cache-Control is %q", got.Header.Get("Cache-Control"))
	}
	challenge := got.Header.Values("Www-Authenticate")
	if wanted := (want == http.StatusUnauthorized); wanted != (len(challenge) == 1 && challenge[0] == c.mode.Challenge() && challenge[0] != "") {
		fail("the challenge is %q", challenge)
	}
	if code := c.code(want); code != "" {
		b.checkError(got, code, c.method, fail)
	}
	if want == http.StatusServiceUnavailable && got.Header.Get("Retry-After") == "" {
		fail("without Retry-After")
	}
	if want == http.StatusUnauthorized || want == http.StatusForbidden {
		for _, r := range b.harbor.Requests() {
			if !c.asks || !r.IsToken() && r.Path != "/api/v2.0/health" {
				fail("Harbor was asked %s %s", r.Method, r.Path)
			}
		}
	}
	if turnedAway := len(b.events.refusals) - refused; turnedAway != c.turnedAway(want) {
		fail("%d refusals are counted", turnedAway)
	}
	if c.kind == registry.KindCatalog && c.method == http.MethodGet && want == http.StatusOK {
		if shown := repositoriesIn(b.T, got.body); !slices.Equal(shown, visible(c)) {
			fail("shows %v, want %v", shown, visible(c))
		}
	}
}

func (b *bubble) checkError(got answer, code registry.Code, method string, fail func(string, ...any)) {
	b.Helper()
	if got.Header.Get("Content-Type") != "application/json" {
		fail("an error of the type %q", got.Header.Get("Content-Type"))
	}
	switch whole := `{"errors":[{"code":"` + string(code) + `","message":"`; {
	case method == http.MethodHead && len(got.body) > 0:
		fail("a HEAD with a body")
	case method != http.MethodHead && !strings.HasPrefix(string(got.body), whole):
		fail("the error is not %s", code)
	}
}

// The table itself must not be one in which everything is the same.
func TestPermissionsDiffer(t *testing.T) {
	app, secret := repository{}, repository{closed: true}
	get := wanted{registry.KindBlob, http.MethodGet, "", "", http.StatusOK}
	seen := map[int]bool{}
	for _, stranger := range []int{0, 401, 403} {
		for _, who := range everybody {
			for _, from := range []repository{app, secret} {
				seen[cell{listener{stranger: stranger}, who, from, get, true, false}.status()] = true
			}
		}
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, []int{200, 401, 403}) {
		t.Errorf("%v", got)
	}
}
