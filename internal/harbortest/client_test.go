package harbortest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"
)

// client talks to a Harbor as a test of something else would.
type client struct {
	t      *testing.T
	h      *Harbor
	server *Server
	http   *http.Client
}

// newClient seeds a Harbor and serves it in memory; close it within the bubble.
func newClient(t *testing.T) *client {
	t.Helper()
	h := New()
	if err := Seed(h); err != nil {
		t.Fatal(err)
	}
	server := h.StartInMemory()
	return &client{t: t, h: h, server: server, http: &http.Client{
		Transport:     server.Transport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (c *client) close() {
	c.http.CloseIdleConnections()
	if err := c.server.Close(); err != nil {
		c.t.Error(err)
	}
}

// do sends a request, by "Name: value" lines; the error is that of the answer or
// of reading its body.
func (c *client) do(method, address string, header http.Header) (*http.Response, []byte, error) {
	c.t.Helper()
	if u, err := url.Parse(address); err == nil && u.Host == "" {
		address = c.server.URL + address
	}
	request, err := http.NewRequest(method, address, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if header != nil {
		request.Header = header
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, body, err
}

// status sends a GET that must be answered.
func (c *client) status(path string, header http.Header) int {
	c.t.Helper()
	response, _, err := c.do(http.MethodGet, path, header)
	if err != nil {
		c.t.Fatalf("GET %s: %v", path, err)
	}
	return response.StatusCode
}

func basic(account, password string) http.Header {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(account, password)
	return r.Header
}

// token asks the token service; an account without password is nobody.
func (c *client) token(account, password, scope string) string {
	c.t.Helper()
	var header http.Header
	if account != "" {
		header = basic(account, password)
	}
	response, body, err := c.do(http.MethodGet, "/service/token?service=harbor-registry&scope="+scope, header)
	var answer struct{ Token string }
	if err != nil || response.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil {
		c.t.Fatalf("token: %s: %v", body, err)
	}
	return answer.Token
}

// bearer is a header with a fresh token and all manifest types accepted.
func (c *client) bearer(account, scope string) http.Header {
	c.t.Helper()
	return http.Header{
		"Authorization": {"Bearer " + c.token(account, Password(account), scope)},
		"Accept": {"application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, " +
			"application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json"},
	}
}

// layer returns path and content of a layer that the Harbor, or the upstream of
// hub-proxy, holds.
func (c *client) layer(g *Registry, repository, tag string) (digest string, content []byte) {
	c.t.Helper()
	m, ok := g.manifest(repository, tag)
	var list listed
	if !ok || json.Unmarshal(m.body, &list) != nil {
		c.t.Fatalf("no image %s:%s", repository, tag)
	}
	content, ok = g.blob(repository, list.Layers[0].Digest)
	if !ok {
		c.t.Fatalf("no layer of %s:%s", repository, tag)
	}
	return list.Layers[0].Digest.String(), content
}

func (c *client) content(repository string) *Registry {
	c.t.Helper()
	g, err := c.h.Content(repository)
	if err != nil {
		c.t.Fatal(err)
	}
	return g
}

func (c *client) upstream() *Registry {
	c.t.Helper()
	g, err := c.h.Upstream("hub-proxy")
	if err != nil {
		c.t.Fatal(err)
	}
	return g
}
