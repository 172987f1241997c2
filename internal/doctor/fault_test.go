package doctor_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"strings"
	"testing"
	"time"

	"breakwater/internal/harbortest"
)

// Harbor whose database is down, once its health page says so: good credentials
// are refused, and the report must not blame them.
func TestDatabaseDown(t *testing.T) {
	w := behind(t, func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v2.0/health" {
			return false
		}
		_, _ = io.WriteString(rw, `{"status":"unhealthy","components":[{"name":"core","status":"healthy"},{"name":"database","status":"unhealthy","error":"no"}]}`)
		return true
	})
	w.harbor.SetDown(harbortest.Database, true)
	seen := w.check(t, app)
	seen.isFine(false)
	seen.has("FAIL  health     Harbor says that database is unhealthy: pulls fail", "FAIL  token      no token from",
		"upstream says that it is ill", "to do: mend Harbor first", "2 steps failed")
	seen.hasNot("the password is wrong")
}

// The database goes down in the middle, and the health page does not know yet.
func TestDatabaseGoesDown(t *testing.T) {
	var harbor *harbortest.Harbor
	w := behind(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "no-such-tag") {
			harbor.SetDown(harbortest.Database, true)
		}
		return false
	})
	harbor = w.harbor
	seen := w.check(t, app)
	seen.isFine(false)
	seen.has("ok    token", "ok    rights", "FAIL  project    upstream refuses robot$team-a+puller, which it accepted a moment ago", "to do: try again in a minute")
	seen.hasNot("the password is wrong")
}

func TestHealthPage(t *testing.T) {
	var page string
	w := behind(t, func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v2.0/health" {
			return false
		}
		_, _ = io.WriteString(rw, page)
		return true
	})
	for said, line := range map[string]string{
		`{"components":[{"name":"core","status":"healthy"}]}`:                                                "ok    health     Harbor says that all its parts are healthy",
		`{"components":[{"name":"redis","status":"unhealthy"}]}`:                                             "warn  health     Harbor says that redis is unhealthy",
		`{"components":[{"name":"registry","status":"unhealthy"},{"name":"database","status":"unhealthy"}]}`: "FAIL  health     Harbor says that registry and database are unhealthy",
		`<html>`: "warn  health     Harbor's health page cannot be read: it is not the JSON document",
	} {
		page = said
		w.check(t, app).has(line)
	}
}

func TestProjects(t *testing.T) {
	t.Run("proxy cache whose source is down", func(t *testing.T) {
		w := newHarbor(t)
		w.as(harbortest.Everything)
		w.harbor.SetDown(harbortest.ProxyUpstream, true)
		seen := w.check(t, "hub-proxy/library/fresh")
		seen.isFine(true)
		seen.has("hub-proxy looks like an ordinary project (or a proxy-cache project whose source is down)", "note  manifest   none to be looked at")
	})
	t.Run("proxy cache", func(t *testing.T) {
		w := newHarbor(t)
		w.as(harbortest.Everything)
		seen := w.check(t, "hub-proxy/library/fresh")
		seen.isFine(true)
		seen.has("ok    project    hub-proxy looks like a proxy-cache project", "ok    manifest", "skip  blob")
		asked := strings.Join(w.harbor.UpstreamRequests(), "\n")
		if got := strings.Count(asked, "breakwater-check-no-such-tag"); got != 1 {
			t.Errorf("the missing tag was asked for %d times at the source:\n%s", got, asked)
		}
		if strings.Contains(asked, "GET /v2/library/fresh/manifests") || strings.Contains(asked, "/blobs/") {
			t.Errorf("the check made Harbor fetch:\n%s", asked)
		}
	})
	t.Run("policy", func(t *testing.T) {
		w := newHarbor(t)
		w.harbor.AddProject(harbortest.Project{Name: "team-a", Policy: harbortest.RequireSignature})
		seen := w.check(t, app)
		seen.isFine(false)
		seen.has("FAIL  manifest   team-a/app:1.0 is listed, and answered with 412 Precondition Failed PROJECTPOLICYVIOLATION", "to do: the project's policy")
	})
	t.Run("without tags", func(t *testing.T) {
		seen := newHarbor(t).check(t, "team-a/empty")
		seen.isFine(true)
		seen.has("note  manifest   none to be looked at: team-a/empty has no tags")
	})
	t.Run("index", func(t *testing.T) {
		seen := newHarbor(t).check(t, "team-a/multi")
		seen.isFine(true)
		seen.has("application/vnd.oci.image.index.v1+json", "ok    blob       the config is there, from the registry itself")
	})
}

// A storage that blobs are redirected to must be found out here, not by the
// first pull.
func TestRedirectToStorage(t *testing.T) {
	w := newHarbor(t)
	w.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, RedirectTo: w.storage})
	seen := w.check(t, app)
	seen.isFine(false)
	seen.has("ok    manifest", "FAIL  blob", "redirects to", "the private address 127.0.0.1", "list its network under redirects")

	w.redirects = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	seen = w.check(t, app)
	seen.isFine(true)
	seen.has("ok    blob       the config is there, by a redirect to http://127.0.0.1:")
}

// Everything that is found, but not asked for, may be without rights.
func TestFoundWithoutRight(t *testing.T) {
	w := newHarbor(t)
	w.harbor.AddAccount(harbortest.Account{Name: harbortest.Everything, Password: w.password, Pull: []string{"team-a"}, Catalog: true})
	w.account = harbortest.Everything
	seen := w.check(t)
	seen.isFine(true)
	seen.has("ok    catalog", "repository library/base", "ok    rights", "repository team-b/secret",
		"note  rights     robot$everything has no pull on team-b/secret: Breakwater will not serve it")
}

func TestNothingToLookAt(t *testing.T) {
	seen := newHarbor(t).check(t)
	seen.isFine(true)
	seen.has("note  catalog    no right to list it", "warn  rights     no repository was looked at", "to do: add --repository NAME")
}

func TestSlowToken(t *testing.T) {
	t.Parallel()
	w := newHarbor(t)
	w.harbor.AddFault(harbortest.Fault{Match: harbortest.Tokens, Times: 2, Delay: 2100 * time.Millisecond})
	seen := w.check(t, app)
	seen.isFine(true)
	seen.has("warn  token", "to do: find out why it is slow", "ok    rights")
}

// After an interrupt the report ends soon, and does not claim that all is well.
func TestInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	w := behind(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/tags/list") {
			interrupt()
			<-r.Context().Done()
		}
		return false
	})
	w.ctx = ctx
	seen := w.check(t, app, "team-a/big")
	seen.isFine(false)
	seen.has("FAIL  manifest   interrupted", "FAIL  the rest   not tried: interrupted")
	seen.hasNot("team-a/big")
	seen.hasNot("catalog")
}

// What upstream says is printed, but no terminal obeys it.
func TestHostileWords(t *testing.T) {
	w := behind(t, func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/tags/list") {
			return false
		}
		rw.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(rw, `{"errors":[{"code":"DENIED","message":"\u001b[2J\u001b]0;owned\u0007\nok    rights     all is well`+strings.Repeat("!", 5000)+`"}]}`)
		return true
	})
	seen := w.check(t, app)
	seen.isFine(false)
	seen.has("FAIL  manifest   the tags of team-a/app are answered with 403 Forbidden DENIED: [2J]0;owned ok    rights")
	if strings.ContainsAny(seen.text, "\x1b\x07") || strings.Contains(seen.text, strings.Repeat("!", 1000)) {
		t.Errorf("printed:\n%q", seen.text)
	}
}

// Registries that are no Harbor.
func TestOtherRegistries(t *testing.T) {
	const manifest = `{"config":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}}`
	content := func(rw http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == "/v2/":
			_, _ = io.WriteString(rw, "{}")
		case path == "/v2/_catalog":
			_, _ = io.WriteString(rw, `{"repositories":["app"]}`)
		case path == "/v2/app/tags/list":
			_, _ = io.WriteString(rw, `{"tags":["1"]}`)
		case strings.HasPrefix(path, "/v2/app/manifests/"):
			rw.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			_, _ = io.WriteString(rw, manifest)
		case strings.HasPrefix(path, "/v2/app/blobs/"):
			_, _ = io.WriteString(rw, "{}")
		default:
			http.NotFound(rw, r)
		}
	}
	basic := func(rw http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != "Ky7-proof" {
			rw.Header().Set("Www-Authenticate", `Basic realm="here"`)
			rw.WriteHeader(http.StatusUnauthorized)
			return
		}
		content(rw, r)
	}
	answering := func(status int, headers ...string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				rw.Header().Set(headers[i], headers[i+1])
			}
			rw.WriteHeader(status)
		}
	}
	elsewhere := answering(http.StatusUnauthorized, "Www-Authenticate", `Bearer realm="https://auth.example.com/token",service="registry.example.com"`)
	for name, c := range map[string]struct {
		handler           http.HandlerFunc
		account, password string
		fine              bool
		lines             []string
	}{
		"open": {content, "", "", true, []string{
			"ok    challenge  none: whoever asks is answered", "ok    catalog    may be listed: 1 repository, by project: app (1)",
			"note  rights     nothing says what is granted", "ok    manifest   app:1 is there", "ok    blob"}},
		"open, with an account": {content, "me", "unused", true, []string{"warn  challenge  none: whoever asks is answered, and the account is not used"}},
		"Basic":                 {basic, "me", "Ky7-proof", true, []string{"ok    challenge  Basic", "ok    token      in TIME, as me", "ok    manifest"}},
		"Basic, refused":        {basic, "me", "other", false, []string{"ok    challenge  Basic", "FAIL  token      upstream refuses me or its password"}},
		"Basic, no account":     {basic, "", "", false, []string{"FAIL  token      upstream wants a user name and a password", "to do: set username and password_file"}},
		"realm elsewhere": {elsewhere, "me", "unsent", false, []string{
			"FAIL  challenge  Bearer, realm https://auth.example.com/token", `to do: if the password may go there, set realms: ["https://auth.example.com"]`, "skip  token"}},
		"redirect": {answering(http.StatusMovedPermanently, "Location", "https://harbor.example.com/v2/?secret=1"), "", "", false, []string{
			"FAIL  challenge", "a redirect to https://harbor.example.com/v2/\n", "to do: write the address of the registry itself"}},
		"login of a portal": {answering(http.StatusUnauthorized, "Www-Authenticate", "Negotiate"), "", "", false, []string{
			"FAIL  challenge", "with no challenge of Bearer or Basic"}},
		"too many": {answering(http.StatusTooManyRequests), "", "", false, []string{"FAIL  challenge", "429", "to do: try again later"}},
		"cut":      {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "", "", false, []string{"ok    address", "FAIL  challenge  the connection is there, but no answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			t.Cleanup(server.Close)
			w := &world{url: server.URL, account: c.account, password: c.password}
			seen := w.check(t)
			seen.isFine(c.fine)
			seen.has(c.lines...)
		})
	}
}

func TestUnresolvedName(t *testing.T) {
	w := &world{url: "https://harbor.invalid"} // RFC 2606 §2
	seen := w.check(t, app)
	seen.isFine(false)
	seen.has("FAIL  address", "HOST", "to do: look at", "skip  the rest   not tried: there is no connection")
}

func TestEgressProxy(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		(&httputil.ReverseProxy{Rewrite: func(pr *httputil.ProxyRequest) { pr.Out.Host = pr.In.Host }}).ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	w := newHarbor(t)
	w.proxy = server.URL
	seen := w.check(t, app)
	seen.isFine(true)
	seen.has("ok    address    connected to "+server.Listener.Addr().String()+" in TIME, the proxy "+server.URL, "ok    manifest", "ok    blob")

	w.url = "https://harbor.example.com"
	seen = w.check(t, app)
	seen.isFine(false)
	seen.has("FAIL  address", "the proxy "+server.URL+", which does not connect to upstream: Forbidden", "to do: look at HTTPS_PROXY", "skip  the rest")

	w.proxy = "http://proxy.invalid:3128"
	seen = w.check(t, app)
	seen.isFine(false)
	seen.has("FAIL  address    the name proxy.invalid cannot be resolved", "note  address    the way leads through the proxy http://proxy.invalid:3128")

	w.proxy = "http://127.0.0.1:1"
	seen = w.check(t, app)
	seen.isFine(false)
	seen.has("FAIL  address    127.0.0.1 refuses the connection", "to do: look at HTTPS_PROXY")
}
