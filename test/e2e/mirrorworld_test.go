//go:build e2e

package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"breakwater/internal/harbortest"
)

// The projects of Harbor that routes lead to: two proxy caches and a private one.
const hubProject, quayProject, ownProject = "hub-proxy", "quay-proxy", "platform"

// A mirrorWorld has the routes of the sample configuration: clients pull by the names
// that they always had, and know nothing of Harbor's projects. They reach nothing else.
type mirrorWorld struct {
	*cacheWorld
	outside *outside
}

func newMirrorWorld(t *testing.T) *mirrorWorld {
	t.Helper()
	harbor := startHarbor(t)
	for _, project := range []harbortest.Project{
		{Name: hubProject, ProxyCache: true, DockerHub: true}, {Name: quayProject, ProxyCache: true}, {Name: ownProject},
	} {
		harbor.AddProject(project)
	}
	harbor.SetRights(robotName, []string{hubProject, quayProject, ownProject}, nil)
	w := &mirrorWorld{outside: newOutside(t), cacheWorld: newCacheWorld(t, settings{
		filled:   harbor,
		upstream: []string{"tag_ttl: 1s"},
		routes: []string{
			`docker.io: {to: harbor/hub-proxy, proxy_cache: true, tag_ttl: 1s, repositories: ["**"]}`,
			`quay.io: {to: harbor/quay-proxy, proxy_cache: true, tag_ttl: 1s, repositories: ["prometheus/*"]}`,
			`harbor.example.com: {to: harbor, repositories: ["platform/**"]}`,
		},
		usual: "docker.io",
	})}
	t.Cleanup(func() { w.checkNothingElse(t) })
	return w
}

// checkNothingElse makes sure that all came from Breakwater, and that Harbor was asked for
// what it must be.
func (w *mirrorWorld) checkNothingElse(t *testing.T) {
	for _, request := range w.outside.take() {
		t.Errorf("a client asked somebody else than Breakwater: %s", request)
	}
	checkAsked(t, w.harbor.Requests(), hubProject, quayProject, ownProject)
}

// newWire is a tap of one client's own, by which it reaches Breakwater.
func (w *mirrorWorld) newWire(t *testing.T) *tap {
	t.Helper()
	wire := newTap(t, w.breakwater.registry)
	t.Cleanup(func() {
		checkRequests(t, wire.requests())
		checkAnswers(t, wire.answers())
		checkNoSecrets(t, "an answer", wire.answers(), w.harbor.Secrets())
	})
	return wire
}

// clientConfig is what `breakwater client-config` prints for whoever reaches Breakwater
// by this wire.
func (w *mirrorWorld) clientConfig(t *testing.T, wire *tap, client string, options ...string) string {
	t.Helper()
	args := append([]string{"client-config", client, "--config", w.config, "--url", "http://" + wire.address}, options...)
	return newHome(t).run(t, tool(t, "breakwater"), args...)
}

// An outside is the rest of the world: the proxy by which clients would reach the
// registries that images are named after. Nobody gets through.
type outside struct {
	url string

	mu    sync.Mutex // guards asked
	asked []string
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	o.url = server.URL
	return o
}

func (o *outside) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.asked = append(o.asked, r.Method+" "+r.Host)
	o.mu.Unlock()
	http.Error(w, "nobody gets out here", http.StatusForbidden)
}

// take returns who was asked for since it was called last.
func (o *outside) take() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	asked := o.asked
	o.asked = nil
	return asked
}

// newHome returns a home whose clients reach the world by the proxy alone. Loopback
// addresses need none.
func (w *mirrorWorld) newHome(t *testing.T) home {
	t.Helper()
	h := newHome(t)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		h.env = append(h.env, name+"="+w.outside.url, strings.ToLower(name)+"="+w.outside.url)
	}
	return h
}
