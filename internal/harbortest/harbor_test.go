package harbortest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/opencontainers/go-digest"
)

// subjectOf reads a token's subject.
func subjectOf(t *testing.T, token string) string {
	t.Helper()
	var claims Claims
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.Subject
}

// A wrong password takes 1.5 s. Meanwhile the right one of a user is refused,
// that of a robot is not.
func TestLoginDelay(t *testing.T) {
	for account, blocked := range map[string]bool{Alice: true, Puller: false} {
		t.Run(account, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t)
				defer c.close()
				var wrong sync.WaitGroup
				wrong.Go(func() {
					start := time.Now()
					token := c.token(account, "wrong", appPull)
					if took := time.Since(start); took != 1500*time.Millisecond || subjectOf(t, token) != "" {
						t.Errorf("wrong password: %v, subject %q", took, subjectOf(t, token))
					}
				})
				time.Sleep(600 * time.Millisecond)
				if subject := subjectOf(t, c.token(account, Password(account), appPull)); (subject == "") != blocked {
					t.Errorf("right password during the delay: subject %q", subject)
				}
				wrong.Wait()
				if subject := subjectOf(t, c.token(account, Password(account), appPull)); subject != account {
					t.Errorf("right password after the delay: subject %q", subject)
				}
			})
		})
	}
}

func TestRevokeTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		defer c.close()
		old := c.bearer(Puller, appPull)
		c.h.RevokeTokens()
		for _, ask := range []struct {
			header http.Header
			want   int
		}{{old, 401}, {c.bearer(Puller, appPull), 200}} {
			if got := c.status("/v2/team-a/app/manifests/1.0", ask.header); got != ask.want {
				t.Errorf("status %d, want %d", got, ask.want)
			}
		}
	})
}

// The health of the database is what it was at the last check, every 10 s.
func TestHealthLagsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		defer c.close()
		database := func() string {
			_, body, err := c.do(http.MethodGet, "/api/v2.0/health", nil)
			var health struct{ Components []component }
			if err != nil || json.Unmarshal(body, &health) != nil {
				t.Fatalf("%s: %v", body, err)
			}
			return health.Components[slices.IndexFunc(health.Components, func(c component) bool { return c.Name == "database" })].Status
		}
		time.Sleep(15 * time.Second)
		c.h.SetDown(Database, true)
		got := []string{database()}
		time.Sleep(6 * time.Second)
		got = append(got, database())
		c.h.SetDown(Database, false)
		time.Sleep(time.Second)
		got = append(got, database())
		time.Sleep(9 * time.Second)
		got = append(got, database())
		if want := "healthy unhealthy unhealthy healthy"; strings.Join(got, " ") != want {
			t.Errorf("database is %v, want %s", got, want)
		}
	})
}

// Each of eight first requests for a blob makes two at the upstream.
func TestFirstGetsInParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		defer c.close()
		digest, _ := c.layer(c.upstream(), "library/freshbig", "1.0")
		header := c.bearer(Everything, "repository:hub-proxy/library/freshbig:pull")
		c.h.AddFault(Fault{Match: Blobs, After: 1, Stall: time.Second}) // so that all begin before one ends
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() { c.status("/v2/hub-proxy/library/freshbig/blobs/"+digest, header) })
		}
		clients.Wait()
		c.status("/v2/hub-proxy/library/freshbig/blobs/"+digest, header)
		seen := map[string]int{}
		for _, r := range c.h.UpstreamRequests() {
			seen[r]++
		}
		want := map[string]int{"GET /v2/ 200": 8, "GET /v2/library/freshbig/blobs/" + digest + " 200": 16}
		if fmt.Sprint(seen) != fmt.Sprint(want) {
			t.Errorf("upstream requests %v, want %v", seen, want)
		}
	})
}

// An index is stored after seven minutes, cut down to the images that were
// pulled: as another manifest without the tag if any is missing.
func TestIndexIsStoredLater(t *testing.T) {
	for name, pulled := range map[string]int{"one of two": 1, "both": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t)
				defer c.close()
				index, _ := c.upstream().manifest("library/trim", "1")
				var list listed
				if err := json.Unmarshal(index.body, &list); err != nil {
					t.Fatal(err)
				}
				header := c.bearer(Everything, trimPull)
				path := "/v2/hub-proxy/library/trim/manifests/"
				c.status(path+"1", header)
				for _, child := range list.Manifests[:pulled] {
					c.status(path+child.Digest.String(), header)
				}
				time.Sleep(8 * time.Minute)
				c.h.SetDown(ProxyUpstream, true)
				kept, err := json.Marshal(map[string]any{
					"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json", "manifests": list.Manifests[:1],
				})
				if err != nil {
					t.Fatal(err)
				}
				got := []int{c.status(path+"1", header), c.status(path+digest.FromBytes(kept).String(), header)}
				want := map[int][]int{1: {404, 200}, 2: {200, 404}}[pulled]
				if !slices.Equal(got, want) {
					t.Errorf("tag and trimmed index: %v, want %v", got, want)
				}
			})
		})
	}
}

func TestStoreProxied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		defer c.close()
		header := c.bearer(Everything, freshPull)
		etag := func() string {
			response, _, err := c.do(http.MethodGet, "/v2/hub-proxy/library/fresh/manifests/1.0", header)
			if err != nil || response.StatusCode != http.StatusOK {
				t.Fatalf("%+v, %v", response, err)
			}
			return response.Header.Get("Etag")
		}
		before := etag()
		c.h.StoreProxied()
		if after := etag(); before != "" || !strings.HasPrefix(after, `"sha256:`) {
			t.Errorf("ETag %q before it was stored, %q after", before, after)
		}
	})
}

func TestDockerHubProject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		defer c.close()
		c.h.AddProject(Project{Name: "hub-proxy", ProxyCache: true, DockerHub: true})
		for path, want := range map[string]string{
			"/v2/hub-proxy/fresh/manifests/1.0":         "/v2/hub-proxy/library/fresh/manifests/1.0",
			"/v2/hub-proxy/library/fresh/manifests/1.0": "",
		} {
			response, _, err := c.do(http.MethodGet, path, c.bearer(Everything, freshPull))
			if err != nil || response.Header.Get("Location") != want || (response.StatusCode == http.StatusMovedPermanently) != (want != "") {
				t.Errorf("%s: %+v, %v, want a redirect to %q", path, response, err, want)
			}
		}
	})
}

// The log tells what came in and what went out; what was secret in it is among
// the secrets.
func TestLogAndSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		defer c.close()
		header := c.bearer(Puller, appPull)
		header.Set("Range", "bytes=0-9")
		digest, _ := c.layer(c.content("team-a"), "team-a/app", "1.0")
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if _, _, err := c.do(method, "/v2/team-a/app/blobs/"+digest+"?a=b", header); err != nil {
				t.Fatal(err)
			}
		}
		c.h.AddFault(Fault{Reset: true, Times: 1})
		if _, _, err := c.do(http.MethodPost, "/v2/", nil); err == nil {
			t.Error("a reset connection was answered")
		}
		var got []string
		for _, r := range c.h.Requests() {
			got = append(got, fmt.Sprintf("%s %s?%s %s/%s %s/ %d %t", r.Method, r.Path, r.Query, r.Scheme, r.Account, r.Range, r.Status, r.Bytes > 0))
			if secret := strings.TrimPrefix(strings.TrimPrefix(r.Header.Get("Authorization"), "Basic "), "Bearer "); secret != "" && !slices.Contains(c.h.Secrets(), secret) {
				t.Errorf("%s %s: its credentials are not among the secrets", r.Method, r.Path)
			}
		}
		want := []string{
			"GET /service/token?service=harbor-registry&scope=repository:team-a/app:pull Basic/robot$team-a+puller / 200 true",
			"GET /v2/team-a/app/blobs/" + digest + "?a=b Bearer/robot$team-a+puller bytes=0-9/ 206 true",
			"HEAD /v2/team-a/app/blobs/" + digest + "?a=b Bearer/robot$team-a+puller bytes=0-9/ 206 false",
			"POST /v2/? / / 0 false",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("log:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		c.h.ResetRequests()
		if n := len(c.h.Requests()); n != 0 {
			t.Errorf("%d requests after ResetRequests", n)
		}
	})
}

// Over TLS the realm is https, and the certificate is the server's CA.
func TestStartTLS(t *testing.T) {
	h := New()
	server, err := h.StartTLS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := server.Transport()
	response, err := (&http.Client{Transport: transport}).Get(server.URL + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	want := fmt.Sprintf(`Bearer realm="%s/service/token",service="harbor-registry"`, server.URL)
	if got := response.Header.Get("Www-Authenticate"); got != want || !strings.HasPrefix(server.URL, "https://") {
		t.Errorf("challenge %q, want %q", got, want)
	}
	transport.CloseIdleConnections()
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if _, err := (&http.Client{Transport: server.Transport()}).Get(server.URL + "/v2/"); err == nil {
		t.Error("the server answers after Close")
	}
}
