package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"breakwater/internal/redact"
	"breakwater/tokencache"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const bearerToken = "s3cret.bearer.token"

// A Breakwater is asked by the reads themselves and nothing else, each with the token
// that there is now. Where its redirect leads, the token does not go.
func TestBearerToken(t *testing.T) {
	const blob = "/v2/a/blobs/sha256:0000000000000000000000000000000000000000000000000000000000000000"
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "from storage, Authorization: "+r.Header.Get("Authorization"))
	}))
	defer storage.Close()
	var refused atomic.Bool
	var asked []string
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path+" "+r.Header.Get("Authorization"))
		switch {
		case refused.Load():
			w.Header().Set("Www-Authenticate", `Basic realm="breakwater"`)
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == blob:
			http.Redirect(w, r, storage.URL, http.StatusTemporaryRedirect)
		default:
			_, _ = io.WriteString(w, "from upstream")
		}
	}))
	defer origin.Close()
	core, logs := observer.New(zap.DebugLevel)
	c := client(t, origin.URL, func(o *Options) {
		o.Redirects = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		o.BearerToken = func() (redact.Secret, error) { return bearerToken, nil }
		o.Log = zap.New(core)
	})
	defer func() { _ = c.Close() }()

	for path, want := range map[string]string{
		"/v2/a/manifests/1": "from upstream",
		blob:                "from storage, Authorization: ",
	} {
		if status, body, err := read(t.Context(), c, path); err != nil || status != http.StatusOK || body != want {
			t.Errorf("%s: %d %q, %v", path, status, body, err)
		}
	}
	refused.Store(true)
	for range 3 {
		_, _, err := read(t.Context(), c, "/v2/a/manifests/1")
		if !errors.As(err, new(*tokencache.CredentialError)) || strings.Contains(err.Error(), bearerToken) {
			t.Errorf("refused: %v", err)
		}
	}
	if len(asked) != 3 { // the refusal is under back-off
		t.Errorf("asked %q", asked)
	}
	for _, request := range asked {
		if !strings.HasSuffix(request, " Bearer "+bearerToken) {
			t.Errorf("asked %q", request)
		}
	}
	for _, entry := range logs.All() {
		if line := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(line, bearerToken) {
			t.Error(line)
		}
	}
}
