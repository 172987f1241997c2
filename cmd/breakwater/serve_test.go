package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/config"
	"breakwater/internal/harbortest"
)

// lockedBuffer can be read while a log is written to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is an instance before a seeded Harbor.
type running struct {
	*testing.T
	harbor          *harbortest.Harbor
	registry, admin string // URLs
	dir             string // of the cache
	stop            context.CancelFunc
	ended           chan error
	log             *lockedBuffer
}

// start writes the configuration that configure returns and serves it.
func start(t *testing.T, configure func(origin *harbortest.Server, password string) string) *running {
	t.Helper()
	r := &running{T: t, harbor: harbortest.New(), ended: make(chan error, 1), log: new(lockedBuffer)}
	if err := harbortest.Seed(r.harbor); err != nil {
		t.Fatal(err)
	}
	origin, err := r.harbor.StartTLS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = origin.Close() })
	file := write(t, "config.yaml", configure(origin, write(t, "password", harbortest.Password(harbortest.Puller)+"\n")))
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	c.Cache.Dir = t.TempDir()
	r.dir = c.Cache.Dir
	log, flush, err := openLog("debug", r.log)
	if err != nil {
		t.Fatal(err)
	}
	i, err := assemble(t.Context(), c, log)
	if err != nil {
		t.Fatal(err)
	}
	open := make(chan struct{})
	i.watchEvery = 100 * time.Millisecond
	i.listening = func(i *instance) {
		r.registry, r.admin = "http://"+i.addresses("registry")[0], "http://"+i.addresses("admin")[0]
		close(open)
	}
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() {
		err := i.run(ctx)
		flush()
		r.ended <- err
		close(r.ended)
	}()
	select {
	case <-open:
	case err := <-r.ended:
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); <-r.ended })
	return r
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (r *running) get(url string) (int, string) {
	r.Helper()
	resp, err := http.Get(url)
	if err != nil {
		r.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func simple(origin *harbortest.Server, password, ca string) string {
	return fmt.Sprintf(`
upstreams:
  harbor: {url: %s, username: %q, password_file: %s, ca_file: %s}
routes:
  harbor.example.com: {to: harbor, repositories: ["**"]}
listeners: [{address: "127.0.0.1:0"}]
admin: {address: "127.0.0.1:0"}
`, origin.URL, harbortest.Puller, password, ca)
}

func TestServe(t *testing.T) {
	r := start(t, func(origin *harbortest.Server, password string) string {
		return simple(origin, password, write(t, "ca.pem", string(origin.CA)))
	})
	if status, body := r.get(r.registry + "/v2/team-a/app/manifests/1.0"); status != 200 {
		t.Fatalf("%d %s\n%s", status, body, r.log)
	}
	for path, want := range map[string]string{"/healthz": "alive", "/readyz": "ready",
		"/metrics": `breakwater_requests_total{cache="miss",kind="manifest",method="GET",route="harbor.example.com",status="200"} 1`} {
		if status, body := r.get(r.admin + path); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", strings.TrimPrefix(r.registry, "http://")); err == nil {
		t.Error("it still listens")
	}

	said := r.log.String()
	for line := range strings.Lines(said) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if !strings.Contains(said, `"message":"serving https://127.0.0.1:`) || !strings.Contains(said, harbortest.Puller) {
		t.Errorf("the log does not say what is served:\n%s", said)
	}
	for _, secret := range r.harbor.Secrets() {
		if strings.Contains(said, secret) {
			t.Errorf("the log shows a secret:\n%s", said)
		}
	}
}

// A renewed authority takes effect without a restart.
func TestRenewedAuthorityIsUsed(t *testing.T) {
	var ca string
	var right []byte
	r := start(t, func(origin *harbortest.Server, password string) string {
		other, err := harbortest.New().StartTLS("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
		right, ca = origin.CA, write(t, "ca.pem", string(other.CA))
		return simple(origin, password, ca)
	})
	if status, body := r.get(r.registry + "/v2/team-a/app/manifests/1.0"); status != 503 {
		t.Fatalf("with a wrong authority: %d %s", status, body)
	}
	if err := os.WriteFile(ca, right, 0o600); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		status, body := r.get(r.registry + "/v2/team-a/app/manifests/1.0")
		if status == 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("with the right authority: %d %s\n%s", status, body, r.log)
		}
	}
}

func TestShutdownLetsABodyFinish(t *testing.T) {
	r := start(t, func(origin *harbortest.Server, password string) string {
		return simple(origin, password, write(t, "ca.pem", string(origin.CA)))
	})
	_, manifest := r.get(r.registry + "/v2/team-a/big/manifests/1.0")
	var image struct{ Layers []struct{ Digest string } }
	if err := json.Unmarshal([]byte(manifest), &image); err != nil {
		t.Fatal(err)
	}
	r.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, After: 2 << 20, Stall: 2 * time.Second})
	resp, err := http.Get(r.registry + "/v2/team-a/big/blobs/" + image.Layers[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	r.stop()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != resp.ContentLength {
		t.Errorf("%d of %d bytes, %v", n, resp.ContentLength, err)
	}
	if err := <-r.ended; err != nil {
		t.Error(err)
	}
}

func TestMistakesStartNothing(t *testing.T) {
	right := write(t, "password", "x")
	for name, c := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"no upstream":       {[]string{"serve"}, 2, "--upstream URL"},
		"both":              {[]string{"serve", "--config", "x", "--upstream", "https://x.test"}, 2, "config"},
		"a flag and a file": {[]string{"serve", "--config", "x", "--listen", "127.0.0.1:1"}, 2, "--listen and --config are both given"},
		"no such file":      {[]string{"serve", "--config", "/no/such/file.yaml"}, 2, "/no/such/file.yaml"},
		"an unknown flag":   {[]string{"serve", "--upsteam", "x"}, 2, "unknown flag: --upsteam"},
		"an unknown word":   {[]string{"sevre"}, 2, `unknown command "sevre"`},
		"an argument":       {[]string{"serve", "x"}, 2, "x"},
		"a mistake in the file": {[]string{"serve", "--config", write(t, "c.yaml", "upstreams:\n  harbor: {usrname: x, url: https://x.test}\n")}, 2,
			`upstreams.harbor.usrname: unknown key; did you mean "username"?`},
		"a listener for everybody": {[]string{"serve", "--upstream", "https://x.test", "--username", "robot$x", "--password-file", right, "--listen", ":5000"}, 2, "--listen"},
		"an address in use": {[]string{"serve", "--upstream", "https://x.test", "--username", "robot$x", "--password-file", right,
			"--listen", taken(t), "--admin-listen", ""}, 1, "cannot listen for registry"},
	} {
		var stdout, stderr bytes.Buffer
		if status := run(c.args, &stdout, &stderr); status != c.status || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%s: exit status %d, want %d\n%s", name, status, c.status, stderr.String())
		}
	}
}

// taken is an address on which somebody listens.
func taken(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func TestVersion(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := run([]string{"version"}, &stdout, &stderr); status != 0 || stdout.String() != "breakwater dev\n" {
		t.Errorf("%d %q %q", status, stdout.String(), stderr.String())
	}
}
