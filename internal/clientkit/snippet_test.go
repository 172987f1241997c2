package clientkit_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/clientkit"

	"github.com/pelletier/go-toml/v2"
)

var update = flag.Bool("update", false, "write testdata anew")

var routes = []clientkit.Route{
	{Name: "docker.io", Path: "docker.io", Origin: "https://registry-1.docker.io"},
	{Name: "harbor.example.com:8443", Path: "harbor.example.com_8443", Origin: "https://harbor.example.com:8443"},
	{Name: "harbor.test", Path: "harbor.test", Origin: "http://harbor.test"},
	{Name: "quay.io", Path: "quay.io", Origin: "https://quay.io"},
}

type making func(clientkit.Mirror) (clientkit.Snippet, error)

var clients = map[string]making{
	"docker": clientkit.Docker, "containerd": clientkit.Containerd, "podman": clientkit.Podman, "buildkit": clientkit.BuildKit,
}

func mirror(t *testing.T, at string, change ...func(*clientkit.Mirror)) clientkit.Mirror {
	t.Helper()
	u, err := clientkit.ParseURL(at)
	if err != nil {
		t.Fatal(err)
	}
	m := clientkit.Mirror{URL: u, Default: "docker.io", Routes: routes}
	for _, do := range change {
		do(&m)
	}
	return m
}

func noFallback(m *clientkit.Mirror)    { m.NoFallback = true }
func noDefault(m *clientkit.Mirror)     { m.Default = "" }
func everyRegistry(m *clientkit.Mirror) { m.EveryRegistry = true }
func password(m *clientkit.Mirror)      { m.Access = clientkit.Login }
func token(m *clientkit.Mirror)         { m.Access = clientkit.Token }
func ca(m *clientkit.Mirror)            { m.CA = `/etc/ssl/our "own" ca\1.crt` }
func mtls(m *clientkit.Mirror)          { m.Access = clientkit.Certificate }
func pair(m *clientkit.Mirror)          { m.Cert, m.Key = "/etc/node.crt", "/etc/node.key" }
func noHub(m *clientkit.Mirror)         { m.Routes, m.Default = routes[1:], "" }

const (
	here   = "http://127.0.0.1:5000"
	there  = "http://mirror.example.com:5000"
	secure = "https://mirror.example.com:5443"
)

// TestGolden shows a reviewer what each client is told, word for word. That it is also
// understood, the other tests find out.
func TestGolden(t *testing.T) {
	for name, m := range map[string]clientkit.Mirror{
		"http":             mirror(t, here),
		"http-elsewhere":   mirror(t, there, noDefault),
		"http-short":       mirror(t, "http://breakwater", noDefault),
		"https-ca":         mirror(t, secure, ca),
		"https-nofallback": mirror(t, secure, ca, noFallback),
		"http-nofallback":  mirror(t, here, noFallback, everyRegistry),
		"every-registry":   mirror(t, here, everyRegistry),
		"password":         mirror(t, secure, password),
		"token-nofallback": mirror(t, secure, token, noFallback),
		"mtls":             mirror(t, secure, ca, mtls, pair),
		"mtls-gap":         mirror(t, secure, mtls, noFallback),
		"no-hub":           mirror(t, there, noHub),
		"own-name":         mirror(t, "https://quay.io:443/", noDefault),
	} {
		for client, make := range clients {
			file := filepath.Join("testdata", client+"-"+name+".txt")
			s, err := make(m)
			got := show(s, err)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s is not what is written now:\n%s", file, got)
			}
		}
	}
}

// show writes all that a reader is shown.
func show(s clientkit.Snippet, err error) string {
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	var b strings.Builder
	for _, file := range s.Files {
		b.WriteString("==> " + file.Path + "\n" + file.Text + "\n")
	}
	b.WriteString("==> remarks\n" + strings.Join(s.Remarks, "\n") + "\n")
	if len(s.Gaps) > 0 {
		b.WriteString("\n==> gaps\n" + strings.Join(s.Gaps, "\n") + "\n")
	}
	return b.String()
}

// parsed reads the files of a snippet as the client does.
func parsed[T any](t *testing.T, make making, m clientkit.Mirror) map[string]T {
	t.Helper()
	s, err := make(m)
	if err != nil {
		t.Fatal(err)
	}
	read := map[string]T{}
	for _, file := range s.Files {
		var value T
		unmarshal := toml.Unmarshal
		if strings.HasSuffix(file.Path, ".json") {
			unmarshal = json.Unmarshal
		}
		if err := unmarshal([]byte(file.Text), &value); err != nil {
			t.Fatalf("%s: %v\n%s", file.Path, err, file.Text)
		}
		read[file.Path] = value
	}
	return read
}

func check[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n%+v\nwant\n%+v", what, got, want)
	}
}

func TestDocker(t *testing.T) {
	type daemon struct {
		Mirrors  []string `json:"registry-mirrors"`
		Insecure []string `json:"insecure-registries"`
	}
	for name, test := range map[string]struct {
		m    clientkit.Mirror
		want daemon
		says string
	}{
		"this machine":         {mirror(t, here), daemon{Mirrors: []string{here}}, "docker pull 127.0.0.1:5000/quay.io/REPOSITORY:TAG"},
		"another":              {mirror(t, there), daemon{[]string{there}, []string{"mirror.example.com:5000"}}, "pull mirror.example.com:5000/harbor.example.com_8443/"},
		"another default":      {mirror(t, there, noDefault), daemon{[]string{there + "/docker.io"}, []string{"mirror.example.com:5000"}}, "24.0 or later"},
		"tls":                  {mirror(t, secure, ca), daemon{Mirrors: []string{secure}}, "/etc/docker/certs.d/mirror.example.com:5443/ca.crt"},
		"usual port":           {mirror(t, "https://mirror.example.com:443/"), daemon{Mirrors: []string{"https://mirror.example.com"}}, "docker pull mirror.example.com/quay.io"},
		"no dot in the name":   {mirror(t, "http://breakwater"), daemon{[]string{"http://breakwater"}, []string{"breakwater:80"}}, "docker pull breakwater:80/quay.io"},
		"no route for it":      {mirror(t, secure, noHub), daemon{}, "no route is called docker.io"},
		"a login":              {mirror(t, secure, password), daemon{}, "docker login mirror.example.com:5443"},
		"a token":              {mirror(t, secure, token), daemon{}, "-u token --password-stdin"},
		"a client certificate": {mirror(t, secure, mtls, pair), daemon{Mirrors: []string{secure}}, "/etc/node.key → /etc/docker/certs.d/mirror.example.com:5443/client.key"},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, "daemon.json", parsed[daemon](t, clientkit.Docker, test.m)["/etc/docker/daemon.json"], test.want)
			s, err := clientkit.Docker(test.m)
			if said := show(s, err); !strings.Contains(said, test.says) {
				t.Errorf("nothing says %q:\n%s", test.says, said)
			}
		})
	}
}

// endpoint and the two below are the keys of hosts.toml that containerd knows.
type endpoint struct {
	Capabilities []string          `toml:"capabilities"`
	CA           string            `toml:"ca"`
	Client       [][]string        `toml:"client"`
	Header       map[string]string `toml:"header"`
}

type hosts struct {
	Server string `toml:"server"`
	endpoint
	Host map[string]endpoint `toml:"host"`
}

func TestContainerd(t *testing.T) {
	able := []string{"pull", "resolve"}
	placeholder := map[string]string{"Authorization": "Basic <base64 of user:password>"}
	for name, test := range map[string]struct {
		m    clientkit.Mirror
		at   string
		want hosts
	}{
		"plain":          {mirror(t, here), "docker.io", hosts{Server: "https://registry-1.docker.io", Host: map[string]endpoint{here: {Capabilities: able}}}},
		"a port":         {mirror(t, here), "harbor.example.com_8443_", hosts{Server: "https://harbor.example.com:8443", Host: map[string]endpoint{here: {Capabilities: able}}}},
		"a plain origin": {mirror(t, here), "harbor.test", hosts{Server: "http://harbor.test", Host: map[string]endpoint{here: {Capabilities: able}}}},
		"ca":             {mirror(t, secure, ca), "quay.io", hosts{Server: "https://quay.io", Host: map[string]endpoint{secure: {Capabilities: able, CA: `/etc/ssl/our "own" ca\1.crt`}}}},
		"no fallback":    {mirror(t, here, noFallback), "quay.io", hosts{Server: here, endpoint: endpoint{Capabilities: able}}},
		"all": {mirror(t, secure, noFallback, ca, mtls, pair), "quay.io", hosts{Server: secure,
			endpoint: endpoint{Capabilities: able, CA: `/etc/ssl/our "own" ca\1.crt`, Client: [][]string{{"/etc/node.crt", "/etc/node.key"}}}}},
		"mtls":               {mirror(t, secure, mtls, pair), "quay.io", hosts{Server: "https://quay.io", Host: map[string]endpoint{secure: {Capabilities: able, Client: [][]string{{"/etc/node.crt", "/etc/node.key"}}}}}},
		"password":           {mirror(t, secure, password), "quay.io", hosts{Server: "https://quay.io", Host: map[string]endpoint{secure: {Capabilities: able, Header: placeholder}}}},
		"token, no fallback": {mirror(t, secure, token, noFallback), "quay.io", hosts{Server: secure, endpoint: endpoint{Capabilities: able, Header: placeholder}}},
		"every":              {mirror(t, here, everyRegistry), "_default", hosts{Host: map[string]endpoint{here: {Capabilities: able}}}},
		"every, no fallback": {mirror(t, here, everyRegistry, noFallback), "_default", hosts{Server: here, endpoint: endpoint{Capabilities: able}}},
	} {
		t.Run(name, func(t *testing.T) {
			files := parsed[hosts](t, clientkit.Containerd, test.m)
			wanted := len(routes)
			if test.m.EveryRegistry {
				wanted++
			}
			if len(files) != wanted {
				t.Errorf("%d files, want %d", len(files), wanted)
			}
			check(t, test.at, files[test.at+"/hosts.toml"], test.want)
			for path, file := range parsed[map[string]any](t, clientkit.Containerd, test.m) {
				if _, ok := file["host"].(map[string]any); !ok {
					t.Errorf("%s has no table host, and containerd 1.6 would not take it", path)
				}
			}
		})
	}
}

// A folder is named as containerd looks for it.
func TestFolders(t *testing.T) {
	for name, want := range map[string]string{
		"quay.io": "quay.io", "quay.io:8443": "quay.io_8443_", "[::1]:5000": "[::1]_5000_",
	} {
		s, err := clientkit.Containerd(mirror(t, here, func(m *clientkit.Mirror) { m.Routes = []clientkit.Route{{Name: name}} }))
		if err != nil || len(s.Files) != 1 || s.Files[0].Path != want+"/hosts.toml" {
			t.Errorf("%s: %+v, %v: want the folder %s", name, s.Files, err, want)
		}
	}
}

// place and registry are the keys of registries.conf that the library knows.
type place struct {
	Location string `toml:"location"`
	Insecure bool   `toml:"insecure"`
}

type registry struct {
	Prefix string `toml:"prefix"`
	place
	Blocked bool    `toml:"blocked"`
	Mirror  []place `toml:"mirror"`
}

func TestPodman(t *testing.T) {
	type file struct {
		Registry []registry `toml:"registry"`
	}
	for name, test := range map[string]struct {
		m    clientkit.Mirror
		want []registry
	}{
		"plain": {mirror(t, here), []registry{
			{"docker.io", place{"docker.io", false}, false, []place{{"127.0.0.1:5000/docker.io", true}}},
			{"harbor.example.com:8443", place{"harbor.example.com:8443", false}, false, []place{{"127.0.0.1:5000/harbor.example.com_8443", true}}},
			{"harbor.test", place{"harbor.test", true}, false, []place{{"127.0.0.1:5000/harbor.test", true}}},
			{"quay.io", place{"quay.io", false}, false, []place{{"127.0.0.1:5000/quay.io", true}}},
		}},
		"no fallback": {mirror(t, "https://breakwater", noFallback, ca), []registry{
			{"docker.io", place{"docker.io", false}, true, []place{{"breakwater:443/docker.io", false}}},
			{"harbor.example.com:8443", place{"harbor.example.com:8443", false}, true, []place{{"breakwater:443/harbor.example.com_8443", false}}},
			{"harbor.test", place{"harbor.test", false}, true, []place{{"breakwater:443/harbor.test", false}}},
			{"quay.io", place{"quay.io", false}, true, []place{{"breakwater:443/quay.io", false}}},
		}},
		"its own name": {mirror(t, "https://quay.io"), []registry{
			{"docker.io", place{"docker.io", false}, false, []place{{"quay.io/docker.io", false}}},
			{"harbor.example.com:8443", place{"harbor.example.com:8443", false}, false, []place{{"quay.io/harbor.example.com_8443", false}}},
			{"harbor.test", place{"harbor.test", true}, false, []place{{"quay.io/harbor.test", false}}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			files := parsed[file](t, clientkit.Podman, test.m)
			check(t, "registries.conf", files["/etc/containers/registries.conf.d/50-breakwater.conf"].Registry, test.want)
		})
	}
}

// builder is what BuildKit knows of a registry in buildkitd.toml.
type builder struct {
	Mirrors []string            `toml:"mirrors"`
	HTTP    bool                `toml:"http"`
	CA      []string            `toml:"ca"`
	Keypair []map[string]string `toml:"keypair"`
}

func TestBuildKit(t *testing.T) {
	type file struct {
		Registry map[string]builder `toml:"registry"`
	}
	mirrored := func(at string, host builder) map[string]builder {
		to := []string{at}
		return map[string]builder{
			"docker.io": {Mirrors: to}, "harbor.example.com:8443": {Mirrors: to}, "harbor.test": {Mirrors: to, HTTP: true}, "quay.io": {Mirrors: to}, at: host,
		}
	}
	own := mirrored("quay.io", builder{})
	for name, test := range map[string]struct {
		m    clientkit.Mirror
		want map[string]builder
	}{
		"plain":        {mirror(t, here), mirrored("127.0.0.1:5000", builder{HTTP: true})},
		"ca":           {mirror(t, secure, ca), mirrored("mirror.example.com:5443", builder{CA: []string{`/etc/ssl/our "own" ca\1.crt`}})},
		"mtls":         {mirror(t, secure, mtls, pair), mirrored("mirror.example.com:5443", builder{Keypair: []map[string]string{{"cert": "/etc/node.crt", "key": "/etc/node.key"}}})},
		"its own name": {mirror(t, "https://quay.io"), own},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, "buildkitd.toml", parsed[file](t, clientkit.BuildKit, test.m)["/etc/buildkit/buildkitd.toml"].Registry, test.want)
		})
	}
}

// What cannot be had is not printed as if it could.
func TestNoFallbackWhereThereIsNone(t *testing.T) {
	for _, client := range []string{"docker", "buildkit"} {
		s, err := clients[client](mirror(t, here, noFallback))
		if err == nil || len(s.Files) > 0 || !strings.Contains(err.Error(), "127.0.0.1:5000/") {
			t.Errorf("%s: %v, %+v: want an error that says what to do", client, err, s)
		}
	}
}

// Whatever is incomplete says so, and only that.
func TestGaps(t *testing.T) {
	for name, test := range map[string]struct {
		m    clientkit.Mirror
		gaps []string // clients
	}{
		"anonymous":         {mirror(t, here), nil},
		"password":          {mirror(t, secure, password), []string{"containerd"}},
		"token":             {mirror(t, secure, token), []string{"containerd"}},
		"certificate":       {mirror(t, secure, mtls), []string{"buildkit", "containerd"}},
		"certificate named": {mirror(t, secure, mtls, pair), nil},
	} {
		var gaps []string
		for client, make := range clients {
			s, err := make(test.m)
			if err != nil {
				t.Error(err)
			}
			if len(s.Gaps) > 0 {
				gaps = append(gaps, client)
			}
		}
		slices.Sort(gaps)
		check(t, name, gaps, test.gaps)
	}
}

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"http://127.0.0.1:5000":           "http://127.0.0.1:5000",
		"https://Mirror.Example.com:443/": "https://mirror.example.com",
		"http://mirror:80":                "http://mirror",
		"https://mirror:80":               "https://mirror:80",
		"http://[::1]:5000":               "http://[::1]:5000",
		"mirror.example.com":              "",
		"mirror.example.com:5000":         "",
		"ftp://mirror.example.com":        "",
		"https://":                        "",
		"https://:5000":                   "",
		"https://mirror.example.com/path": "",
		"https://user:secret@mirror":      "",
		"https://mirror?x=y":              "",
		"https://mirror/#x":               "",
		"https://mirror.example.com:port": "",
	} {
		u, err := clientkit.ParseURL(text)
		if got := ""; want == "" {
			if err == nil {
				t.Errorf("%q is taken for %q", text, u)
			} else if strings.Contains(err.Error(), "secret") {
				t.Errorf("%q is shown: %v", text, err)
			}
		} else if err == nil {
			if got = u.String(); got != want {
				t.Errorf("%q is read as %q, want %q", text, got, want)
			}
		} else {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzQuoted: whatever a path is, it comes back out of the files as it went in.
func FuzzQuoted(f *testing.F) {
	for _, path := range []string{"/etc/ca.crt", `/a"b\c`, "/a\nb\tc\x7f\x00\x1f", "/ü/\u2028", "/'''", "/<&>"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		path = strings.ToValidUTF8(path, "")
		if path == "" {
			return
		}
		m := mirror(t, secure, func(m *clientkit.Mirror) { m.CA = path })
		files := parsed[hosts](t, clientkit.Containerd, m)
		if got := files["quay.io/hosts.toml"].Host[secure].CA; got != path {
			t.Errorf("%q comes back as %q", path, got)
		}
	})
}
