//go:build e2e

package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"path/filepath"
	"testing"
	"time"
)

// Nodes show certificates: containerd by hosts.toml, Docker and curl by files. Who has
// none, or one that is not good, is told so in words, and not by a broken handshake.
func TestClientCertificates(t *testing.T) {
	w := newAccessWorld(t)
	nodes := newAuthority(t, "the nodes' authority")
	door := w.tlsDoor(t, ownAddress(t), fmt.Sprintf(
		`mtls: {ca_file: %q}, allow: [{subjects: ["node-*"], pull: ["harbor.example.com/team-a/**"]}, {groups: ["system:mirrors"], pull: ["harbor.example.com/library/**"]}]`,
		nodes.writeTo(t, t.TempDir())))
	w.serve(t)

	over := node("node-3")
	over.NotAfter = time.Now().Add(-time.Minute)
	certificates := map[string]certificate{
		"node":      nodes.issue(t, node("node-1")),
		"mirror":    nodes.issue(t, node("mirror-1", "system:mirrors")),
		"stranger":  nodes.issue(t, node("stranger")),
		"forged":    newAuthority(t, "the nodes' authority").issue(t, node("node-2")),
		"expired":   nodes.issue(t, over),
		"a servers": nodes.issue(t, server("127.0.0.1")),
	}

	for _, tt := range []struct {
		who, path string
		status    int
		says      string
	}{
		{"node", ping, http.StatusOK, ""},
		{"node", appPath, http.StatusOK, ""},
		{"node", "/v2/library/base/manifests/1.0", http.StatusForbidden, "DENIED: node-1 may not pull from library/base"},
		{"mirror", "/v2/library/base/manifests/1.0", http.StatusOK, ""},
		{"mirror", appPath, http.StatusForbidden, "DENIED: mirror-1 may not pull from team-a/app"},
		{"stranger", appPath, http.StatusForbidden, "DENIED: stranger may not pull"},
		{"forged", ping, http.StatusForbidden, "certificate"},
		{"forged", appPath, http.StatusForbidden, "certificate"},
		{"expired", appPath, http.StatusForbidden, "expired"},
		{"a servers", appPath, http.StatusForbidden, "certificate"},
		{"", ping, http.StatusForbidden, "client certificate"},
		{"", appPath, http.StatusForbidden, "client certificate"},
	} {
		w.asking(t, certificates[tt.who], "https://"+door+tt.path).check(t, fmt.Sprintf("%q, %s", tt.who, tt.path), tt.status, tt.says)
	}

	t.Run("containerd", func(t *testing.T) {
		containerd, dir := startContainerd(t, w.newHome(t), debians(t)), t.TempDir()
		ca := fmt.Sprintf("ca = %q", w.writeTo(t, dir))
		with := func(who string) string {
			cert, key := certificates[who].files(t, dir, who)
			return hosts(t, "https://"+door, ca, fmt.Sprintf("client = [[%q, %q]]", cert, key))
		}
		containerd.checkPull(t, with("node"), "team-a/app", w.harbor.app)
		containerd.checkPull(t, with("mirror"), "library/base", w.harbor.base)
		containerd.checkRefused(t, with("node"), "library/base", "403 Forbidden")
		containerd.checkRefused(t, with("forged"), "team-a/app", "403 Forbidden")
		containerd.checkRefused(t, hosts(t, "https://"+door, ca), "team-a/app", "403 Forbidden")
	})

	t.Run("docker", func(t *testing.T) {
		etc := w.etcDocker(t)
		certificates["node"].files(t, filepath.Join(etc, "certs.d", door), "client")
		docker := startDaemon(t, newHome(t), etc, nil)
		docker.pull(t, door+"/team-a/app:1.0")
		docker.checkImage(t, door+"/team-a/app:1.0", digestOf(t, w.harbor.app), w.harbor.app)
		docker.checkRefused(t, door+"/library/base:1.0", "node-1 may not pull from library/base")
	})

	t.Run("without a certificate", func(t *testing.T) {
		h := w.newHome(t)
		h.fail(t, "client certificate", "", tool(t, "crane"), "manifest", door+"/team-a/app:1.0")
		h.fail(t, "error: 403", "", installed(t, "curl"), "--silent", "--show-error", "--fail", "https://"+door+appPath)
	})

	// A connection is for the host that it was opened for, and for no other.
	t.Run("curl for another host", func(t *testing.T) {
		h, dir := w.newHome(t), t.TempDir()
		cert, key := certificates["node"].files(t, dir, "node")
		address, port, err := net.SplitHostPort(door)
		mustDo(t, err)
		asked := func(more ...string) string {
			args := append([]string{"--silent", "--show-error", "--cert", cert, "--key", key, "--output", "/dev/null", "--write-out", "%{http_code}",
				"--resolve", "breakwater.test:" + port + ":" + address, "https://breakwater.test:" + port + appPath}, more...)
			return h.run(t, installed(t, "curl"), args...)
		}
		if status := asked(); status != "200" {
			t.Errorf("status %s, want 200", status)
		}
		if status := asked("--header", "Host: other.test"); status != "421" {
			t.Errorf("another Host: status %s, want 421", status)
		}
	})
	w.checkRefusals(t, door, "no_certificate", "bad_certificate", "not_allowed", "misdirected")
}

// When the file of authorities changes, whom only an old one vouches for is refused, on a
// connection that is open too.
func TestAuthoritiesChange(t *testing.T) {
	t.Parallel() // it waits for Breakwater to look
	w := newAccessWorld(t)
	before, after, dir := newAuthority(t, "before"), newAuthority(t, "after"), t.TempDir()
	file := before.writeTo(t, dir)
	door := w.tlsDoor(t, "127.0.0.1", fmt.Sprintf(`mtls: {ca_file: %q}, allow: [{subjects: [node-1], pull: ["**"]}]`, file))
	w.serve(t)
	old, fresh := before.issue(t, node("node-1")), after.issue(t, node("node-1"))
	kept := w.presenting(t, old)
	defer kept.CloseIdleConnections()
	for _, path := range []string{ping, appPath} {
		must(request(kept, "https://"+door+path))(t).check(t, "the old certificate", http.StatusOK)
		w.asking(t, fresh, "https://"+door+path).check(t, "the new one", http.StatusForbidden, "certificate")
	}
	after.writeTo(t, dir)
	connections := 0
	traced := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		if !got.Reused {
			connections++
		}
	}})
	onThat := func(r *http.Request) { *r = *r.WithContext(traced) }
	eventually(t, "the old certificate is refused", func() bool {
		return must(request(kept, "https://"+door+appPath, onThat))(t).StatusCode == http.StatusForbidden
	})
	if connections > 0 {
		t.Errorf("%d connections were opened anew: it says nothing of the one that was open", connections)
	}
	w.asking(t, fresh, "https://"+door+appPath).check(t, "the new certificate", http.StatusOK)
}

// presenting is a client with a certificate.
func (w *accessWorld) presenting(t *testing.T, c certificate) *http.Client {
	t.Helper()
	client := w.client()
	client.Transport.(*http.Transport).TLSClientConfig = w.trusting(must(tls.X509KeyPair(c.cert, c.key))(t))
	return client
}

// asking is one GET by a client with that certificate, or with none.
func (w *accessWorld) asking(t *testing.T, c certificate, url string) answer {
	t.Helper()
	client := w.client()
	if c.cert != nil {
		client = w.presenting(t, c)
	}
	defer client.CloseIdleConnections()
	return must(request(client, url))(t)
}
