package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// clientConfiguration is one with every kind of listener; %CERT% and the like are filled in.
const clientConfiguration = `
upstreams:
  harbor: {url: "https://harbor.example.com:8443", username: robot, password_file: %PASSWORD%}
  plain: {url: "http://harbor.test"}
routes:
  docker.io: {to: harbor/hub-proxy, proxy_cache: true, repositories: ["**"]}
  "harbor.example.com:8443": {to: harbor, repositories: ["team-a/**"]}
  harbor.test: {to: plain, repositories: ["**"]}
listeners:
  - address: 127.0.0.1:5001
    tls: {cert_file: %CERT%, key_file: %KEY%}
    password: {htpasswd_file: %HTPASSWD%}
    allow: [{subjects: ["**"], pull: ["**"]}]
  - address: ":5002"
    default: harbor.test
    anonymous: {networks: [10.0.0.0/8]}
  - address: ":5003"
    default: docker.io
    anonymous: {networks: [10.0.0.0/8]}
  - address: ":5004"
    tls: {cert_file: %CERT%, key_file: %KEY%}
    mtls: {ca_file: %CERT%}
    allow: [{subjects: ["**"], pull: ["**"]}]
  - address: "[::1]:5005"
  - address: "localhost:5006"
  - address: ":5007"
    tls: {cert_file: %WILD%, key_file: %WILDKEY%}
    harbor: {upstream: harbor}
  - address: "127.0.0.1:0"
`

// issue writes a certificate for names and addresses, and its key.
func issue(t *testing.T, names []string, addresses ...net.IP) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: names, IPAddresses: addresses, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, "tls.crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		write(t, "tls.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}

// clientConfig runs the command with a configuration, and splits what it says.
func clientConfig(t *testing.T) func(args ...string) (status int, stdout, stderr string) {
	cert, key := issue(t, []string{"*.example.com", "mirror.example.com"}, net.IPv4(10, 0, 0, 1))
	wild, wildKey := issue(t, []string{"*.example.com"}, net.IPv4(10, 0, 0, 1))
	text := strings.NewReplacer("%CERT%", cert, "%KEY%", key, "%WILD%", wild, "%WILDKEY%", wildKey,
		"%PASSWORD%", write(t, "password", "hunter2"), "%HTPASSWD%", write(t, "htpasswd", "alice:$2y$10$"+strings.Repeat("a", 53)+"\n")).Replace(clientConfiguration)
	file := write(t, "config.yaml", text)
	return func(args ...string) (int, string, string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		status := run(append([]string{"client-config", args[0], "--config", file}, args[1:]...), &stdout, &stderr)
		if strings.Contains(stdout.String()+stderr.String(), "hunter2") {
			t.Errorf("%s: a secret is printed", args)
		}
		if status == exitFine {
			for line := range strings.Lines(stderr.String()) {
				if !strings.HasPrefix(line, "# ") {
					t.Errorf("%s: %q is no remark", args, line)
				}
			}
		}
		return status, stdout.String(), stderr.String()
	}
}

// Each listener has its address for clients, and each client the listener that fits it.
func TestClientConfigAddresses(t *testing.T) {
	client := clientConfig(t)
	for name, test := range map[string]struct {
		args         []string
		says, remark string
	}{
		"Docker's own default":       {[]string{"docker"}, `"http://127.0.0.1:5003"`, "the listener :5003 at"},
		"another default":            {[]string{"docker", "--listener", ":5002"}, `"http://127.0.0.1:5002/docker.io"`, "24.0"},
		"a login":                    {[]string{"docker", "--listener", "127.0.0.1:5001"}, "{}", "docker login mirror.example.com:5001"},
		"no login, the first":        {[]string{"buildkit"}, `["127.0.0.1:5002"]`, ""},
		"name in the certificate":    {[]string{"podman", "--listener", ":5004"}, `"mirror.example.com:5004/harbor.example.com_8443"`, "client.key"},
		"only a pattern of names":    {[]string{"podman", "--listener", ":5007"}, `"10.0.0.1:5007/docker.io"`, "podman login 10.0.0.1:5007"},
		"IPv6":                       {[]string{"containerd", "--listener", "[::1]:5005"}, `[host."http://[::1]:5005"]`, ""},
		"localhost":                  {[]string{"containerd", "--listener", "localhost:5006"}, `[host."http://127.0.0.1:5006"]`, "[plugins.\"io.containerd.cri.v1.images\".registry]"},
		"a URL":                      {[]string{"containerd", "--url", "https://Mirror.example.com:443/", "--ca", "/etc/ca.crt"}, "ca = \"/etc/ca.crt\"", "at https://mirror.example.com (see"},
		"a plain origin":             {[]string{"containerd"}, "server = \"http://harbor.test\"", ""},
		"an origin with a port":      {[]string{"containerd"}, "server = \"https://harbor.example.com:8443\"", ""},
		"Docker Hub's origin":        {[]string{"containerd"}, "server = \"https://registry-1.docker.io\"", ""},
		"no fallback":                {[]string{"containerd", "--no-fallback"}, "server = \"http://127.0.0.1:5002\"", "No fallback"},
		"every registry":             {[]string{"containerd", "--every-registry"}, "# breakwater client-config: _default/hosts.toml", ""},
		"the client's certificate":   {[]string{"buildkit", "--listener", ":5004", "--client-cert", "/c", "--client-key", "/k"}, "key = \"/k\"", ""},
		"the certificate to fill in": {[]string{"buildkit", "--listener", ":5004"}, "/path/to/client.key", "To be filled in: the paths"},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := client(test.args...)
			if status != exitFine || !strings.Contains(stdout, test.says) || !strings.Contains(stderr, test.remark) {
				t.Errorf("exit status %d; want %q and the remark %q\n%s\n%s", status, test.says, test.remark, stdout, stderr)
			}
		})
	}
}

// Standard output can be handed to the client as it is.
func TestClientConfigIsPasted(t *testing.T) {
	client := clientConfig(t)
	var settings map[string]any
	_, stdout, _ := client("docker")
	if err := json.Unmarshal([]byte(stdout), &settings); err != nil {
		t.Errorf("%v\n%s", err, stdout)
	}
	for _, name := range []string{"podman", "buildkit"} {
		settings = nil
		_, stdout, _ := client(name)
		if err := toml.Unmarshal([]byte(stdout), &settings); err != nil || len(settings) == 0 {
			t.Errorf("%v\n%s", err, stdout)
		}
	}
}

// What is mistaken is refused, and nothing is printed that could be pasted.
func TestClientConfigMistakes(t *testing.T) {
	client := clientConfig(t)
	dir := t.TempDir()
	for name, test := range map[string]struct {
		args []string
		says string
	}{
		"no such listener":         {[]string{"docker", "--listener", ":1"}, "write one of 127.0.0.1:5001, :5002"},
		"no port yet":              {[]string{"docker", "--listener", "127.0.0.1:0"}, "listener 127.0.0.1:0: the system chooses its port: give --url"},
		"not a URL":                {[]string{"docker", "--url", "mirror.example.com"}, "--url is not a URL"},
		"a path":                   {[]string{"docker", "--url", "https://mirror.example.com/x"}, "--url holds more than"},
		"a CA without TLS":         {[]string{"podman", "--ca", "/ca.crt"}, "http://127.0.0.1:5002 is not encrypted"},
		"mtls without TLS":         {[]string{"podman", "--listener", ":5004", "--url", "http://a:1"}, "asks for a certificate"},
		"a relative path":          {[]string{"podman", "--listener", ":5004", "--ca", "ca.crt"}, "--ca is not an absolute path"},
		"half a pair":              {[]string{"podman", "--listener", ":5004", "--client-cert", "/c"}, "belong together"},
		"docker, no fallback":      {[]string{"docker", "--no-fallback"}, "client-config containerd --no-fallback --write /etc/docker/certs.d"},
		"buildkit, no fallback":    {[]string{"buildkit", "--no-fallback"}, "no setting of buildkitd.toml"},
		"both ways":                {[]string{"containerd", "--write", dir, "--remove", dir}, "write"},
		"an argument":              {[]string{"docker", "x"}, "unknown command"},
		"a secret to be filled in": {[]string{"containerd", "--listener", "127.0.0.1:5001", "--write", dir}, "nothing was written"},
		"a pair to be filled in":   {[]string{"containerd", "--listener", ":5004", "--write", dir}, "--client-cert"},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := client(test.args...)
			if status != exitMistaken || stdout != "" || !strings.Contains(stderr, test.says) {
				t.Errorf("exit status %d; want %d and %q\n%s\n%s", status, exitMistaken, test.says, stdout, stderr)
			}
		})
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v, %v was written", left, err)
	}
}

// --write says what it did, and --remove undoes it without a configuration.
func TestClientConfigWrites(t *testing.T) {
	client := clientConfig(t)
	dir := filepath.Join(t.TempDir(), "certs.d")
	names := []string{"docker.io", "harbor.example.com_8443_", "harbor.test"}
	said := func(what string) string {
		var b strings.Builder
		for _, name := range names {
			b.WriteString(what + strings.Repeat(" ", 10-len(what)) + filepath.Join(dir, name, "hosts.toml") + "\n")
		}
		return b.String()
	}
	for _, what := range []string{"written", "unchanged"} {
		if status, stdout, stderr := client("containerd", "--write", dir); status != exitFine || stdout != said(what) || !strings.Contains(stderr, "config_path") {
			t.Errorf("exit status %d, want\n%s\n%s\n%s", status, said(what), stdout, stderr)
		}
	}
	_, printed, _ := client("containerd")
	var written []string
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name, "hosts.toml"))
		if err != nil {
			t.Fatal(err)
		}
		written = append(written, string(text))
	}
	if printed != strings.Join(written, "\n") {
		t.Errorf("what is printed is not what is written:\n%s", printed)
	}

	foreign := filepath.Join(dir, "docker.io", "hosts.toml")
	if err := os.WriteFile(foreign, []byte("# mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, stdout, stderr := client("containerd", "--write", dir); status != exitFailed || stdout != "" || !strings.Contains(stderr, foreign+" was written by somebody else") {
		t.Errorf("a foreign file: exit status %d\n%s\n%s", status, stdout, stderr)
	}
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}

	var stdout, stderr bytes.Buffer
	names = names[1:]
	if status := run([]string{"client-config", "containerd", "--remove", dir}, &stdout, &stderr); status != exitFine || stdout.String() != said("removed") {
		t.Errorf("exit status %d, want\n%s\n%s%s", status, said("removed"), &stdout, &stderr)
	}
}

// Without a file the flags of serve do.
func TestClientConfigFromFlags(t *testing.T) {
	var stdout, stderr bytes.Buffer
	status := run([]string{"client-config", "podman", "--upstream", "https://harbor.example.com", "--proxy-cache", "docker.io=hub-proxy"}, &stdout, &stderr)
	var conf struct {
		Registry []struct {
			Prefix string
			Mirror []struct{ Location string }
		}
	}
	if err := toml.Unmarshal(stdout.Bytes(), &conf); err != nil || status != exitFine {
		t.Fatalf("exit status %d, %v\n%s", status, err, &stderr)
	}
	mirrors := map[string]string{}
	for _, r := range conf.Registry {
		for _, m := range r.Mirror {
			mirrors[r.Prefix] = m.Location
		}
	}
	want := map[string]string{"docker.io": "127.0.0.1:5000/docker.io", "harbor.example.com": "127.0.0.1:5000/harbor.example.com"}
	if !maps.Equal(mirrors, want) {
		t.Errorf("%v, want %v", mirrors, want)
	}
}

// Each client has its own help, which says where things go.
func TestClientConfigHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"docker"}, {"containerd"}, {"podman"}, {"buildkit"}} {
		var stdout, stderr bytes.Buffer
		status := run(slices.Concat([]string{"client-config"}, args, []string{"--help"}), &stdout, &stderr)
		if status != exitFine || len(args) > 0 && !strings.Contains(stdout.String(), "--no-fallback") {
			t.Errorf("%v: exit status %d\n%s", args, status, &stdout)
		}
	}
}

// Told to stop, --write and --remove leave everything as it is.
func TestClientConfigStops(t *testing.T) {
	client := clientConfig(t)
	dir := t.TempDir()
	if status, _, stderr := client("containerd", "--write", dir); status != exitFine {
		t.Fatal(stderr)
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, args := range [][]string{
		{"containerd", "--upstream", "https://harbor.example.com", "--write", dir},
		{"containerd", "--remove", dir},
	} {
		command := clientConfigCommand()
		command.SetArgs(args)
		command.SetOut(t.Output())
		command.SetErr(t.Output())
		command.SilenceUsage = true
		if err := command.ExecuteContext(stopped); !errors.As(err, new(failure)) || !strings.Contains(err.Error(), "stopped before "+dir) {
			t.Errorf("%v: %v", args, err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 {
		t.Errorf("%v, %v: want the three folders, and no other", left, err)
	}
}
