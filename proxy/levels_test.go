package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/blobcache"
	"breakwater/internal/harbortest"
	"breakwater/internal/pattern"
	"breakwater/internal/redact"
	"breakwater/proxy/access"
	"breakwater/proxy/upstream"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// node is a Breakwater before another registry, most often another Breakwater. token may
// be nil.
func node(t *testing.T, origin string, token func() (redact.Secret, error), change func(*settings)) *world {
	t.Helper()
	n := &world{T: t, dir: t.TempDir(), policy: nodes()}
	if change != nil {
		change(&n.policy)
	}
	target, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	n.log, n.events = &syncBuffer{}, &events{}
	log := n.newLog()
	n.client, err = upstream.New(upstream.Options{
		Name: "regional", URL: target, BearerToken: token,
		Proxy:  func(*http.Request) (*url.URL, error) { return nil, nil },
		Events: n.events, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.cache, err = blobcache.Open(t.Context(), blobcache.Options{Dir: n.dir, MaxSize: 1 << 30, Memory: 16 << 20, Events: n.events, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	registry := n.policy.over(n.client, n.cache, n.events, log)
	server := httptest.NewServer(registry.Behind(openGate(), n.policy.usual))
	n.url = server.URL
	n.stop = sync.OnceFunc(func() {
		server.Close()
		if err := errors.Join(registry.Close(), n.client.Close(), n.cache.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { n.stop(); n.nothingSecret() })
	return n
}

// nodes are the settings of one whose upstream is the world's Breakwater: it finds its
// routes there by their names.
func nodes() settings {
	s := defaults()
	for i := range s.routes {
		s.routes[i].Upstream, s.routes[i].Prefix = "regional", s.routes[i].Name
	}
	return s
}

// everyTag makes tags be asked for each time.
func everyTag(s *settings) {
	for i := range s.routes {
		s.routes[i].TagTTL = time.Nanosecond
	}
}

// fetch gets something and reads it whole.
func (w *world) fetch(ctx context.Context, target string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+target, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", target, resp.Status, body)
	}
	return body, err
}

// pull pulls an image as a client does, its blobs all at once, and verifies them.
func (w *world) pull(repository, tag string) error {
	body, err := w.fetch(w.Context(), "/v2/"+repository+"/manifests/"+tag)
	if err != nil {
		return err
	}
	var manifest v1.Manifest
	if err := json.Unmarshal(body, &manifest); err != nil {
		return err
	}
	blobs, ctx := errgroup.WithContext(w.Context())
	for _, d := range append(manifest.Layers, manifest.Config) {
		blobs.Go(func() error {
			body, err := w.fetch(ctx, "/v2/"+repository+"/blobs/"+d.Digest.String())
			if err == nil && digest.FromBytes(body).String() != d.Digest.String() {
				err = fmt.Errorf("the blob %s has other bytes", d.Digest)
			}
			return err
		})
	}
	return blobs.Wait()
}

// everywhere pulls an image from all of them at once.
func everywhere(nodes []*world, repository, tag string) error {
	var pulls errgroup.Group
	for _, n := range nodes {
		pulls.Go(func() error { return n.pull(repository, tag) })
	}
	return pulls.Wait()
}

// bytesServed are those of the blobs that a Breakwater's clients took, once nobody takes
// any more.
func (w *world) bytesServed() (n int64) {
	w.events.last(w.T)
	w.events.mu.Lock()
	defer w.events.mu.Unlock()
	for _, s := range w.events.served {
		if s.Kind == "blob" {
			n += s.Bytes
		}
	}
	return n
}

// Fifty nodes that pull one image nobody has yet are one pull to Harbor, and one each to
// the Breakwater between. After that nobody is needed but the node itself.
func TestFiftyNodesAreOnePull(t *testing.T) {
	regional := newWorld(t, account)
	made, err := harbortest.Image("levels", 100<<10, 70<<10, 3000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := regional.harbor.Push("team-a/levels", "1.0", made); err != nil {
		t.Fatal(err)
	}
	manifest, err := made.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, d := range append(manifest.Layers, manifest.Config) {
		size += d.Size
	}
	all := make([]*world, 50)
	for i := range all {
		all[i] = node(t, regional.url, nil, everyTag)
	}

	if err := everywhere(all, "team-a/levels", "1.0"); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	for _, line := range regional.saw() {
		if method, path, _ := strings.Cut(line, " "); strings.HasPrefix(path, "/v2/team-a/") {
			seen[method+" "+path[strings.LastIndex(path[:strings.LastIndexByte(path, '/')], "/"):]]++
		}
	}
	if want := len(manifest.Layers) + 3; len(seen) != want { // the config, and the manifest by tag and digest
		t.Errorf("Harbor saw %v, want %d questions", seen, want)
	}
	for question, n := range seen {
		if n != 1 {
			t.Errorf("Harbor saw %s %d times", question, n)
		}
	}
	if got, want := regional.bytesServed(), int64(len(all))*size; got != want {
		t.Errorf("nodes got %d bytes of blobs, want %d: each of them once", got, want)
	}

	if err := regional.origin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := everywhere(all, "team-a/levels", "1.0"); err != nil {
		t.Errorf("without Harbor: %v", err)
	}
	if got, want := regional.bytesServed(), int64(len(all))*size; got != want {
		t.Errorf("a warm pull took %d bytes more", got-want)
	}
	regional.stop()
	if err := everywhere(all, "team-a/levels", "1.0"); err != nil {
		t.Errorf("without anybody: %v", err)
	}
}

// Each level is known to the next by a token of its own, which is renewed in its file.
func TestLevelsWithTokens(t *testing.T) {
	i := newIssuer(t)
	mode, err := access.NewToken(access.TokenOptions{
		Issuers:  []access.Issuer{{Issuer: testIssuer, Audience: testAudience, JWKS: i.jwks, SubjectClaim: "sub"}},
		Listener: "test", Events: &events{},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mode.Close() })
	regional := &world{T: t, harbor: harbortest.New(), password: harbortest.Password(account), dir: t.TempDir(), policy: defaults()}
	regional.gate = access.New(access.Options{
		Listener: "test", Mode: mode, Events: &events{}, Limits: openGate().Limits,
		Allow: access.Policy{{Subjects: pattern.All("system:serviceaccount:kube-system:*"), Pull: pattern.All("harbor.example.com/team-a/**")}},
	})
	if err := harbortest.Seed(regional.harbor); err != nil {
		t.Fatal(err)
	}
	regional.origin, err = regional.harbor.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = regional.origin.Close() })
	regional.start(regional.origin.URL, account)

	file := filepath.Join(t.TempDir(), "token")
	var n *world
	renew := func(token string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		if n != nil {
			n.shows(&http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}})
		}
	}
	renew("")
	n = node(t, regional.url, func() (redact.Secret, error) {
		token, err := os.ReadFile(file)
		return redact.Secret(bytes.TrimSpace(token)), err
	}, everyTag)

	for _, subject := range []string{"system:serviceaccount:kube-system:one", "system:serviceaccount:kube-system:two"} {
		renew(i.token(subject))
		if err := n.pull("team-a/app", "1.0"); err != nil {
			t.Fatal(err)
		}
		if log := regional.log.String(); !strings.Contains(log, `"subject":"`+subject+`"`) {
			t.Errorf("%s did not come:\n%s", subject, log)
		}
	}
	n.refused(403, "DENIED", "GET /v2/library/base/manifests/1.0") // not down, and not a lack of credentials
	if log := regional.log.String(); strings.Contains(log, "no_credentials") || strings.Contains(log, `"status":401`) || strings.Contains(log, `"kind":"base"`) {
		t.Errorf("the node asked for more than it wanted:\n%s", log)
	}

	renew(newIssuer(t).token("system:serviceaccount:kube-system:one"))
	for range 3 {
		n.refused(502, "UNAVAILABLE", "GET /v2/team-a/big/manifests/1.0")
		if err := n.pull("team-a/app", "1.0"); err != nil { // which is held
			t.Error(err)
		}
	}
	if told := strings.Count(n.log.String(), "upstream refuses the credential"); told != 1 || !slices.Equal(n.events.states, []string{"unknown", "accepted", "refused"}) {
		t.Errorf("the operator was told %d times; %v", told, n.events.states)
	}
	renew(i.token("system:serviceaccount:kube-system:one"))
	n.get(200, "GET /v2/team-a/big/manifests/1.0") // at once
}

// Lists come through with the client's names, and links that it can follow.
func TestListsThroughLevels(t *testing.T) {
	regional := newWorld(t, account)
	n := node(t, regional.url, nil, nil)
	for client, name := range map[string]string{"team-a/app": "team-a/app", "harbor.example.com/team-a/app": "harbor.example.com/team-a/app"} {
		var tags struct {
			Name string
			Tags []string
		}
		var got []string
		for next := "/v2/" + client + "/tags/list?n=3"; next != ""; {
			a := n.get(200, "GET "+next)
			if err := json.Unmarshal(a.body, &tags); err != nil || tags.Name != name {
				t.Fatalf("%s: %s, %v", next, a.body, err)
			}
			got = append(got, tags.Tags...)
			next, _, _ = strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"), ">")
		}
		if len(got) != 9 {
			t.Errorf("%s has the tags %q", client, got)
		}
	}
	subject := n.get(200, "HEAD /v2/team-a/app/manifests/1.0").Header.Get("Docker-Content-Digest")
	if a := n.get(200, "GET /v2/team-a/app/referrers/"+subject); strings.Count(string(a.body), `"digest"`) != 2 {
		t.Errorf("%s", a.body)
	}
}
