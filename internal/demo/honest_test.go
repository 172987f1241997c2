package demo_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"

	"breakwater/internal/demo"
)

// honest is the least that a cache with credentials can be: it has a token for
// everything, shows its client status, type and body alone, and keeps them. The
// client that it serves asks one thing after the other. Tests turn it into one that
// cheats.
type honest struct {
	t      *testing.T
	stage  *demo.Stage
	proxy  httputil.ReverseProxy
	before func(http.ResponseWriter, *http.Request) bool // true: it answered
	after  func(*http.Response)                          // the last to touch an answer
	kept   map[string][]byte                             // answers, by path
	pulls  int                                           // that were begun
}

// newHonest returns a proxy and the host:port where it listens.
func newHonest(t *testing.T, stage *demo.Stage) (*honest, string) {
	upstream, err := url.Parse(stage.URL)
	if err != nil {
		t.Fatal(err)
	}
	h := &honest{t: t, stage: stage, kept: map[string][]byte{}}
	h.proxy.ErrorLog = log.New(io.Discard, "", 0)
	h.proxy.Rewrite = func(r *httputil.ProxyRequest) {
		r.SetURL(upstream)
		r.Out.Header.Set("Authorization", "Bearer "+h.token())
	}
	h.proxy.ModifyResponse = func(resp *http.Response) error {
		resp.Header = http.Header{"Content-Type": resp.Header["Content-Type"]}
		if h.after != nil {
			h.after(resp)
		}
		return nil
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return h, strings.TrimPrefix(server.URL, "http://")
}

func (h *honest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, field := range []string{"Authorization", "Cookie"} {
		if r.Header.Get(field) != "" {
			h.t.Errorf("%s: the client sent %s", r.URL.Path, field)
		}
	}
	if r.URL.Path == "/v2/" {
		h.pulls++
	}
	if h.before != nil && h.before(w, r) {
		return
	}
	body, ok := h.kept[r.URL.Path]
	if !ok {
		keeps := &keeping{ResponseWriter: w}
		h.proxy.ServeHTTP(keeps, r)
		h.kept[r.URL.Path] = keeps.body.Bytes()
		return
	}
	if h.pulls == outage {
		w.Header().Set("Cache-Status", "honest; hit; detail=stale")
	}
	if _, err := w.Write(body); err != nil {
		h.t.Error(err)
	}
}

// The pulls of the story.
const again, outage = 2, 3

// keeping copies the body that goes through it.
type keeping struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (k *keeping) Write(b []byte) (int, error) {
	k.body.Write(b)
	return k.ResponseWriter.Write(b)
}

// Unwrap serves http.ResponseController.
func (k *keeping) Unwrap() http.ResponseWriter { return k.ResponseWriter }

// password is the robot's.
func (h *honest) password() string {
	content, err := os.ReadFile(h.stage.PasswordFile)
	if err != nil {
		h.t.Error(err)
	}
	return strings.TrimSpace(string(content))
}

// token is a new one, good for the whole project; none while Harbor is down.
func (h *honest) token() string {
	request, err := http.NewRequest(http.MethodGet, h.stage.URL+"/service/token?service=harbor-registry&scope=repository:platform/shop:pull", nil)
	if err != nil {
		h.t.Error(err)
		return ""
	}
	request.SetBasicAuth(h.stage.Username, h.password())
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		h.t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusBadGateway {
		return ""
	}
	var answer struct{ Token string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Token == "" {
		h.t.Errorf("no token: %d, %v", resp.StatusCode, err)
	}
	return answer.Token
}
