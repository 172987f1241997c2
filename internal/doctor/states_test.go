package doctor_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"breakwater/internal/harbortest"
)

const app = "team-a/app"

// One whole report, as an operator sees it.
func TestReport(t *testing.T) {
	seen := newHarbor(t).check(t, app, "team-b/secret", "team-a/nothing")
	seen.isFine(false)
	seen.is(`
upstream harbor, http://HOST
  ok    address    connected to HOST in TIME
  note  TLS        none: url begins with http://
  ok    challenge  Bearer, realm http://HOST/service/token, service "harbor-registry": a Harbor
  ok    health     Harbor says that portal and registryctl are unhealthy, which no pull needs; all else is healthy
  ok    token      in TIME, its sub is robot$team-a+puller, good for 30 min
  ok    account    robot$team-a+puller looks like a robot of project team-a

repository team-a/app of harbor
  ok    rights     robot$team-a+puller may pull, and nothing else
  ok    project    team-a looks like an ordinary project (or a proxy-cache project whose source is down)
  ok    manifest   team-a/app:1.0 is there: DIGEST (application/vnd.oci.image.manifest.v1+json)
  ok    blob       the config is there, from the registry itself

repository team-b/secret of harbor
  FAIL  rights     robot$team-a+puller has no pull on team-b/secret, or there is no project team-b (Harbor answers the same)
                   to do: give the account pull on project team-b, or leave the repository out
  skip  the rest   not tried: it takes the right to pull

repository team-a/nothing of harbor
  ok    rights     robot$team-a+puller may pull, and nothing else
  warn  project    team-a looks like an ordinary project, and nothing was ever pushed to team-a/nothing
                   to do: look at the name, or push to it
  skip  the rest   not tried: there is nothing to pull

catalog of harbor
  note  catalog    no right to list it: listing repositories through Breakwater will be answered 403; pulls do not need it

1 step failed, with 1 warning.`)
}

// Each state of Harbor and account, told by its own lines.
func TestStates(t *testing.T) {
	for name, c := range map[string]struct {
		as    string
		apply func(*world)
		asked []string
		fine  bool
		lines []string
	}{
		"all may be listed": {harbortest.Everything, nil, nil, true, []string{
			"ok    catalog    may be listed: 10 repositories", "repository library/base", "repository team-a/app", "repository team-b/secret",
			"Everything that was tried works."}},
		"an administrator": {"admin", nil, []string{"hub-proxy/library/fresh"}, true, []string{
			"warn  account    admin is an administrator", "warn  rights     admin may pull, and also push and delete",
			"hub-proxy looks like a proxy-cache project", "with 2 warnings"}},
		"a user": {harbortest.Alice, nil, []string{app}, true, []string{"warn  account    alice looks like a user", "use a robot"}},
		"a disabled robot": {harbortest.Idle, nil, []string{app}, false, []string{
			"FAIL  token      Harbor refuses robot$disabled", "to do: look at the account in Harbor", "skip"}},
		"a refused password": {harbortest.Puller, func(w *world) { w.password = "wrong-and-secret" }, []string{app}, false, []string{
			"FAIL  token      Harbor refuses robot$team-a+puller: the password is wrong"}},
		"a name without its $": {harbortest.Puller, func(w *world) { w.account = "robot+puller" }, []string{app}, false, []string{
			"FAIL  token      Harbor refuses robot+puller", "Quote the name: 'robot$name'"}},
		"no account": {harbortest.Puller, func(w *world) { w.account, w.password = "", "" }, []string{app, "library/base"}, false, []string{
			"note  token      none: no account is configured", "FAIL  rights", "to do: set username", "repository library/base", "ok    rights"}},
		"storage down": {harbortest.Puller, func(w *world) { w.harbor.SetDown(harbortest.Storage, true) }, []string{app}, false, []string{
			"ok    token", "FAIL  manifest   team-a/app:1.0 is listed, and answered with 502"}},
		"core down": {harbortest.Puller, func(w *world) { w.harbor.SetDown(harbortest.Core, true) }, []string{app}, false, []string{
			"FAIL  challenge  GET /v2/ is answered with 502", "Harbor's core"}},
		"token service down": {harbortest.Puller, func(w *world) { w.harbor.SetDown(harbortest.TokenService, true) }, []string{app}, false, []string{
			"ok    challenge", "FAIL  token", "502"}},
		"the realm elsewhere": {harbortest.Puller, func(w *world) { w.harbor.SetExternalURL("https://x") }, []string{app}, false, []string{
			"FAIL  challenge", "token_url"}},
		"token_url in its place": {harbortest.Puller, func(w *world) {
			w.harbor.SetExternalURL("https://x")
			w.tokenURL = w.url + "/service/token"
		}, []string{app}, true, []string{"ok    token", "ok    rights", "ok    manifest"}},
		"a login page": {harbortest.Puller, func(w *world) { w.harbor.AddFault(harbortest.Fault{HTML: true}) }, []string{app}, false, []string{
			"FAIL  challenge", "text/html", "to do:"}},
		"nobody listens": {harbortest.Puller, func(w *world) { w.url = "http://127.0.0.1:1" }, []string{app}, false, []string{
			"FAIL  address", "to do:"}},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			w := newHarbor(t)
			w.as(c.as)
			if c.apply != nil {
				c.apply(w)
			}
			seen := w.check(t, c.asked...)
			seen.isFine(c.fine)
			seen.has(c.lines...)
			if c.fine {
				seen.hasNot("FAIL")
			}
		})
	}
}

func TestTLS(t *testing.T) {
	w := &world{harbor: seeded(t)}
	server, err := w.harbor.StartTLS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	w.url = server.URL
	w.as(harbortest.Puller)

	unknown := w.check(t, app)
	unknown.isFine(false)
	unknown.has("FAIL  TLS", "ca_file")

	w.tls = trusting(t, server.CA)
	known := w.check(t, app)
	known.isFine(true)
	known.has("ok    TLS", "ok    challenge", "ok    manifest")
}

func TestNoRegistryAtAll(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "what?", http.StatusNotFound) }))
	t.Cleanup(server.Close)
	w := &world{url: server.URL}
	seen := w.check(t, app)
	seen.isFine(false)
	seen.has("FAIL  challenge", "404", "to do:")
}

// Of what the catalog lists, only what clients can pull is looked at.
func TestServed(t *testing.T) {
	w := newHarbor(t)
	w.as(harbortest.Everything)
	w.served = func(name string) bool { return name == app }
	seen := w.check(t)
	seen.isFine(true)
	seen.has("may be listed: 10 repositories", "repository "+app)
	seen.hasNot("repository team-b/secret")

	w.served = func(string) bool { return false }
	w.check(t).has("may be listed: 10 repositories", "warn  rights     no repository was looked at")
}
