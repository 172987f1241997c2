package control_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"breakwater/internal/control"
)

// over asks on the socket in dir, as curl --unix-socket does.
func over(t *testing.T, dir string) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, control.Socket))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestQuestionsThatAreNone(t *testing.T) {
	cache := held()
	dir := t.TempDir()
	serve(t, dir, cache)
	client := over(t, dir)
	for question, want := range map[string]int{
		"GET /":                                     404,
		"GET /cache/stats":                          404,
		"POST /cache/stat":                          405,
		"GET /cache/purge?all=true":                 405,
		"POST /cache/purge":                         400,
		"POST /cache/purge?all=yes":                 400,
		"POST /cache/purge?repository=":             400,
		"POST /cache/purge?repository=a&all=true":   400,
		"POST /cache/purge?digest=latest":           400,
		"POST /cache/verify":                        400,
		"POST /cache/verify?rate=-1":                400,
		"POST /cache/verify?rate=50MiB":             400,
		"POST /cache/block?repository=a":            400,
		"GET /" + strings.Repeat("x", 20<<10):       431,
		"POST /cache/unblock?digest=sha256:zz&x=%2": 400,
	} {
		method, path, _ := strings.Cut(question, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, "http://breakwater"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want {
			t.Errorf("%.60s: %d %s, want %d", question, resp.StatusCode, body, want)
		}
		if want == 400 && !strings.HasPrefix(string(body), `{"error":"`) {
			t.Errorf("%s: 400 does not say why: %s", question, body)
		}
	}
	if cache.asked() != "" {
		t.Errorf("asked for %s", cache.asked())
	}
}

// TestAnotherVersion is a client of a server that knows other questions.
func TestAnotherVersion(t *testing.T) {
	dir := t.TempDir()
	listener, err := net.Listen("unix", filepath.Join(dir, control.Socket))
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan string, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body := <-answer; body != "" {
			_, _ = io.WriteString(w, body)
			return
		}
		http.NotFound(w, r)
	})}
	ended := make(chan error)
	go func() { ended <- server.Serve(listener) }()
	defer func() { _ = server.Close(); <-ended }()

	client := dial(t, dir)
	list := func() error { return client.List(t.Context(), "", func(control.Entry) error { return nil }) }
	for body, want := range map[string]string{
		"":                    "the running instance answers 404 Not Found to /cache/entries: it is of another version, restart it with this one",
		"{}":                  "the running instance answers with a line that is none",
		`{"item":{"size":1}}`: "the running instance broke off: EOF",
		"<html>":              "the running instance broke off: invalid character '<' looking for beginning of value",
	} {
		answer <- body
		if err := list(); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", body, err, want)
		}
	}
}
