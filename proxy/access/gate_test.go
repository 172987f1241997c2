package access

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/pattern"
	"breakwater/proxy/registry"
)

// fixedMode takes everybody for one client.
type fixedMode struct {
	Mode
	client Client
	err    error
}

func (m fixedMode) Authenticate(context.Context, *http.Request) (Client, error) {
	return m.client, m.err
}

// called is the repository of that name, which it has for everybody.
func called(name string) Repository {
	if name == "" {
		return Repository{}
	}
	return Repository{Name: name, Names: []string{name}}
}

func allCalled(names ...string) []Repository {
	var all []Repository
	for _, name := range names {
		all = append(all, called(name))
	}
	return all
}

func namesOf(repositories []Repository) []string {
	var names []string
	for _, r := range repositories {
		names = append(names, r.Name)
	}
	return names
}

func gateOf(mode Mode, allow Policy, hide bool) (*Gate, *counted) {
	events := newCounted()
	return New(Options{
		Listener: "test", Mode: mode, Allow: allow, Hide: hide, Events: events,
		Limits: Limits{Connections: 1, AddressPulls: 1, SubjectPulls: 1},
	}), events
}

// grants is a last word: yes for those listed. It notes what it was asked.
type grants struct {
	yes   []string
	err   error
	asked [][]string
}

func (g *grants) may(_ context.Context, repositories []string) ([]bool, error) {
	g.asked = append(g.asked, repositories)
	if g.err != nil {
		return nil, g.err
	}
	var may []bool
	for _, repository := range repositories {
		may = append(may, slices.Contains(g.yes, repository))
	}
	return may, nil
}

var teamA = Policy{{Subjects: pattern.All("alice"), Pull: pattern.All("team-a/**")}}

func TestGateTellsWhoAndFromWhere(t *testing.T) {
	gate, events := gateOf(fixedMode{client: Client{Subject: "alice"}}, teamA, false)
	r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	r.RemoteAddr = "[::ffff:192.0.2.7]:1000"
	client, err := gate.Authenticate(t.Context(), r)
	if err != nil || client.Subject != "alice" || client.Address != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("%+v, %v", client, err)
	}
	if len(events.refused) > 0 {
		t.Errorf("%v were counted", events.refused)
	}
}

// Each refusal is counted once, under its own word, and only refusals are.
func TestRefusalsAreCountedOnce(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	app := called("team-a/app")
	alice := func(g *grants) Client { return Client{Subject: "alice", may: g.may} }
	for name, test := range map[string]struct {
		mode fixedMode
		ask  func(*Gate) error
		want map[Why]int
	}{
		"authentication": {fixedMode{err: unauthorized(BadCredentials, nil, "no")},
			func(g *Gate) error { _, err := g.Authenticate(t.Context(), r); return err }, map[Why]int{BadCredentials: 1}},
		"who left": {fixedMode{err: context.Canceled},
			func(g *Gate) error { _, err := g.Authenticate(t.Context(), r); return err }, map[Why]int{}},
		"the policy": {fixedMode{},
			func(g *Gate) error {
				return g.Authorise(t.Context(), Client{Subject: "bob"}, registry.KindManifest, app)
			}, map[Why]int{NotAllowed: 1}},
		"no grant": {fixedMode{},
			func(g *Gate) error { return g.Authorise(t.Context(), alice(&grants{}), registry.KindManifest, app) }, map[Why]int{NotGranted: 1}},
		"nobody can tell": {fixedMode{},
			func(g *Gate) error {
				return g.Authorise(t.Context(), alice(&grants{err: later(Unverifiable, 1, nil, "no")}), registry.KindManifest, app)
			}, map[Why]int{Unverifiable: 1}},
		"nobody can tell of a list": {fixedMode{},
			func(g *Gate) error {
				_, err := g.Visible(t.Context(), alice(&grants{err: later(Unverifiable, 1, nil, "no")}), []Repository{app})
				return err
			}, map[Why]int{Unverifiable: 1}},
		"who left before the last word": {fixedMode{},
			func(g *Gate) error {
				return g.Authorise(t.Context(), alice(&grants{err: context.Canceled}), registry.KindManifest, app)
			}, map[Why]int{}},
	} {
		t.Run(name, func(t *testing.T) {
			gate, events := gateOf(test.mode, teamA, false)
			if err := test.ask(gate); err == nil {
				t.Error("let in")
			}
			if !maps.Equal(events.refused, test.want) {
				t.Errorf("%v were counted, want %v", events.refused, test.want)
			}
		})
	}
}

func TestAuthorise(t *testing.T) {
	granted := &grants{yes: []string{"team-a/app", "team-b/app"}}
	alice, bob := Client{Subject: "alice", may: granted.may}, Client{Subject: "bob"}
	gate, _ := gateOf(fixedMode{}, teamA, false)
	for _, test := range []struct {
		client Client
		name   string
		want   Why
	}{
		{alice, "team-a/app", ""},
		{alice, "team-a/other", NotGranted},
		{alice, "team-b/app", NotAllowed}, // Harbor would
		{bob, "team-a/app", NotAllowed},
		{Client{}, "team-a/app", NotAllowed},
		{bob, "", ""}, // of the catalog it sees what it may pull
	} {
		err := gate.Authorise(t.Context(), test.client, registry.KindManifest, called(test.name))
		refusal, _ := errors.AsType[*Refusal](err)
		if refusal == nil && err != nil || refusal == nil && test.want != "" || refusal != nil && refusal.Why != test.want {
			t.Errorf("%s, %q: %v, want %q", test.client.Subject, test.name, err, test.want)
		}
	}

	// Whoever only says a name learns nothing of what the policy says about it.
	guess := Client{Subject: "alice", may: (&grants{err: unauthorized(BadCredentials, nil, "no")}).may}
	refusal, _ := errors.AsType[*Refusal](gate.Authorise(t.Context(), guess, registry.KindManifest, called("team-b/app")))
	if refusal == nil || refusal.Why != BadCredentials {
		t.Errorf("a guess at what the policy denies: %v", refusal)
	}
}

// What is denied is 403, and says who and what. Hidden, it is the 404 of something
// that never was, in the same words whatever the reason.
func TestDenied(t *testing.T) {
	kinds := map[registry.Kind]registry.Code{
		registry.KindManifest: registry.CodeManifestUnknown, registry.KindBlob: registry.CodeBlobUnknown,
		registry.KindTags: registry.CodeNameUnknown, registry.KindReferrers: registry.CodeNameUnknown,
	}
	alice := Client{Subject: "alice", Address: netip.MustParseAddr("192.0.2.1"), may: (&grants{}).may}
	for kind, code := range kinds {
		for name, denied := range map[string]Client{
			"not allowed":          {Subject: "bob"},
			"not allowed, unnamed": {Address: netip.MustParseAddr("192.0.2.1")},
			"not granted":          alice,
		} {
			app := called("team-a/app")
			open, _ := gateOf(fixedMode{}, teamA, false)
			who, whom := denied.Subject, "the operator of this registry"
			if denied.may != nil {
				whom = "whoever looks after that project in Harbor"
			}
			if who == "" {
				who = denied.Address.String()
			}
			expectAnswer(t, name, open.Authorise(t.Context(), denied, kind, app), http.StatusForbidden, registry.CodeDenied,
				who+" may not pull from team-a/app: ask "+whom+" for the right to it")
			hidden, _ := gateOf(fixedMode{}, teamA, true)
			expectAnswer(t, name, hidden.Authorise(t.Context(), denied, kind, app), http.StatusNotFound, code, "team-a/app is not known here")
		}
	}
}

func expectAnswer(t *testing.T, name string, err error, status int, code registry.Code, message string) {
	t.Helper()
	refusal, ok := err.(*Refusal)
	if !ok || refusal.Answer.Status != status || refusal.Answer.Code != code || refusal.Answer.Message != message {
		t.Errorf("%s: %v, want %d %s: %s", name, err, status, code, message)
	}
}

func TestVisible(t *testing.T) {
	catalog := []string{"library/nginx", "team-a/app", "team-a/tools/db", "team-b/app"}
	granted := &grants{yes: []string{"team-a/tools/db", "team-b/app"}}
	for name, test := range map[string]struct {
		allow  Policy
		client Client
		want   string
		asked  string
	}{
		"all":                {Everything(), Client{}, "library/nginx team-a/app team-a/tools/db team-b/app", ""},
		"allowed":            {teamA, Client{Subject: "alice"}, "team-a/app team-a/tools/db", ""},
		"nothing":            {teamA, Client{Subject: "bob"}, "", ""},
		"granted":            {Everything(), Client{Subject: "alice", may: granted.may}, "team-a/tools/db team-b/app", strings.Join(catalog, " ")},
		"allowed, granted":   {teamA, Client{Subject: "alice", may: granted.may}, "team-a/tools/db", "team-a/app team-a/tools/db"},
		"nothing to ask for": {teamA, Client{Subject: "bob", may: granted.may}, "", ""},
	} {
		granted.asked = nil
		gate, events := gateOf(fixedMode{}, test.allow, false)
		visible, err := gate.Visible(t.Context(), test.client, allCalled(catalog...))
		if got := strings.Join(namesOf(visible), " "); got != test.want || err != nil {
			t.Errorf("%s: %s, %v, want %s", name, got, err, test.want)
		}
		var asked string
		if len(granted.asked) > 0 {
			asked = strings.Join(granted.asked[0], " ")
		}
		if asked != test.asked || len(granted.asked) > 1 {
			t.Errorf("%s: Harbor was asked %q, want once, for %s", name, granted.asked, test.asked)
		}
		if len(events.refused) > 0 {
			t.Errorf("%s: what is not shown was counted as refused: %v", name, events.refused)
		}
	}
}

// What can show a client nothing is told from what may.
func TestShows(t *testing.T) {
	policy := Policy{
		{Subjects: pattern.All("alice"), Pull: pattern.All("docker.io/library/**", "*/tools/x")},
		{Subjects: pattern.All("bob"), Pull: pattern.All("quay.io/**")},
	}
	granted := &grants{}
	alice, ofHarbor := Client{Subject: "alice"}, Client{Subject: "alice", may: granted.may, upstream: "harbor"}
	for name, test := range map[string]struct {
		client   Client
		upstream string
		names    []string
		want     bool
	}{
		"its own":                  {alice, "harbor", []string{"docker.io/**"}, true},
		"by another name":          {alice, "harbor", []string{"ghcr.io/x/**", "docker.io/library/nginx"}, true},
		"on every route":           {alice, "harbor", []string{"ghcr.io/**"}, true},
		"another's":                {Client{Subject: "bob"}, "harbor", []string{"docker.io/**"}, false},
		"nothing there":            {alice, "harbor", []string{"ghcr.io/y/**"}, false},
		"nobody":                   {Client{}, "harbor", []string{"docker.io/**"}, false},
		"Harbor's word":            {ofHarbor, "harbor", []string{"docker.io/**"}, true},
		"another than it is of":    {ofHarbor, "second", []string{"docker.io/**"}, false},
		"no name that leads to it": {alice, "harbor", nil, false},
	} {
		gate, _ := gateOf(fixedMode{}, policy, false)
		if got := gate.Shows(test.client, test.upstream, pattern.All(test.names...)); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	if len(granted.asked) > 0 {
		t.Errorf("Harbor was asked for %v", granted.asked)
	}
}

// An answer to somebody is for nobody else.
func TestAuthenticates(t *testing.T) {
	anonymous, _ := gateOf(NewAnonymous(nil), Everything(), false)
	somebody, _ := gateOf(fixedMode{}, Everything(), false)
	if anonymous.Authenticates() || !somebody.Authenticates() {
		t.Error("a shared cache is told the wrong thing")
	}
}
