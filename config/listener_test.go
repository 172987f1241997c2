package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"breakwater/config"
)

// asks is in how many ways a listener asks who its clients are, or whence they come.
func asks(l config.Listener) int {
	count := 0
	for _, asked := range []bool{
		l.Anonymous != nil && len(l.Anonymous.Networks) > 0,
		l.Password != nil && l.Allow != nil, len(l.Token) > 0 && l.Allow != nil, l.MTLS != nil && l.TLS != nil && l.Allow != nil,
		l.Harbor != nil,
	} {
		if asked {
			count++
		}
	}
	return count
}

// TestTheLinesToAddAreRight pastes what the message says below the address, as an
// operator would, and starts again.
func TestTheLinesToAddAreRight(t *testing.T) {
	for what, document := range map[string]string{
		"usual":      "listeners:\n  - address: :5000\n",
		"flat":       "listeners:\n- address: :5000\n",
		"deep":       "listeners:\n        -   address: :5000\n",
		"more":       "listeners:\n  - hide: false\n    address: \"[::]:5000\"\n    limits: {connections: 7}\n",
		"the second": "listeners:\n  - address: 127.0.0.1:4000\n  - address: 0.0.0.0:5000\n",
	} {
		_, err := config.Parse("config.yaml", []byte(minimal+document))
		if err == nil {
			t.Errorf("%s: an open listener was accepted", what)
			continue
		}
		_, lines, _ := strings.Cut(err.Error(), "\n")
		if count := strings.Count(lines, "\n") + 1; count != 3 {
			t.Errorf("%s: %d lines to add, want 3:\n%s", what, count, lines)
		}
		mended := regexp.MustCompile(`(?m)^.*address: .*5000"?\n`).ReplaceAllString(document, "$0"+lines+"\n")
		c, err := config.Parse("config.yaml", []byte(minimal+mended))
		if err != nil {
			t.Errorf("%s: with the lines added\n%s\n%v", what, mended, err)
			continue
		}
		last := c.Listeners[len(c.Listeners)-1]
		if last.Anonymous == nil || fmt.Sprint(last.Anonymous.Networks) != "[10.0.0.0/8]" || len(c.Warnings) > 0 {
			t.Errorf("%s: with the lines added %s, warnings %v", what, asYAML(t, last), c.Warnings)
		}
	}
}

func TestALoopbackListenerIsForThisMachine(t *testing.T) {
	for _, address := range []string{"127.0.0.1:5000", "127.1.2.3:5000", "localhost:5000", "'[::1]:5000'"} {
		c, err := config.Parse("config.yaml", []byte(minimal+"listeners: [{address: "+address+"}]"))
		if err != nil || c.Listeners[0].Anonymous == nil || fmt.Sprint(c.Listeners[0].Anonymous.Networks) != "[127.0.0.0/8 ::1/128]" {
			t.Errorf("%s: %v %s", address, err, asYAML(t, c.Listeners))
		}
	}
	for _, address := range []string{"':5000'", "0.0.0.0:5000", "'[::]:5000'", "10.0.0.1:5000", "'[fe80::1]:5000'", "'[::ffff:10.0.0.1]:5000'"} {
		if _, err := config.Parse("config.yaml", []byte(minimal+"listeners: [{address: "+address+"}]")); err == nil || !strings.Contains(err.Error(), "nothing says who may pull") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestAMisreadModeIsNotAnonymous has a mode written in ways that cannot be read: what
// is said must be of that, and no other mode be taken for it.
func TestAMisreadModeIsNotAnonymous(t *testing.T) {
	for _, mode := range []string{
		"password:", "password: true", "token:", "token: []", "token: 1", "mtls:", "mtls: []", "harbor:", "harbor: true", "harbor: {x: y}",
		"anonymous:", "anonymous: []", "anonymous: {networks: []}", "anonymous: {networks:}",
	} {
		for _, address := range []string{"127.0.0.1:5000", ":5000"} {
			document := minimal + "listeners:\n  - address: " + address + "\n    " + mode + "\n"
			_, err := config.Parse("config.yaml", []byte(document))
			key, _, _ := strings.Cut(mode, ":")
			if err == nil || !strings.Contains(err.Error(), "listeners[0]."+key) || strings.Contains(err.Error(), "nothing says who") {
				t.Errorf("%s on %s: %v", mode, address, err)
			}
		}
	}
}

func TestBoundsOfWhoMayPull(t *testing.T) {
	list := func(count int, item string) string { return "[" + strings.Repeat(item+", ", count) + "]" }
	for what, test := range map[string]struct{ listener, want string }{
		"rules":    {"allow: " + list(1001, "{pull: ['**']}"), "listeners[0].allow: has 1001 rules; write 1 to 1000; without one nobody may pull"},
		"patterns": {"allow: [{pull: " + list(1001, "'**'") + "}]", "listeners[0].allow[0].pull: has 1001 entries; write 1 to 1000 patterns"},
		"networks": {"anonymous: {networks: " + list(1001, "127.0.0.0/8") + "}", "listeners[0].anonymous.networks: has 1001 entries; write 1 to 1000 networks; without one nobody may pull"},
		"issuers":  {"token: " + list(65, "{issuer: 'https://a.example.com', audience: breakwater}"), "listeners[0].token: has 65 entries; write 1 to 64 issuers"},
		"number":   {"limits: {connections: 99999999999999999999}", "listeners[0].limits.connections: is not a whole number; write it in digits, without quotes"},
		"octal":    {"limits: {connections: 010}", "listeners[0].limits.connections: is not a whole number; write it in digits, without quotes"},
		"audience": {"token: {issuer: 'https://a.example.com', audience: " + strings.Repeat("x", 256) + "}", "listeners[0].token.audience: is too long, or holds control characters; write at most 255 plain characters"},
	} {
		_, err := config.Parse("config.yaml", []byte(minimal+"listeners:\n  - address: 127.0.0.1:5000\n    "+test.listener+"\n"))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %.300v, want %s", what, err, test.want)
		}
	}
}

// TestAudiencesOfAnAPIServer: a token that opens it must not be sent to a registry.
func TestAudiencesOfAnAPIServer(t *testing.T) {
	for audience, refused := range map[string]bool{
		"https://kubernetes.default.svc": true, "https://kubernetes.default.svc.cluster.local": true, "https://kubernetes.default.svc/": true,
		"kubernetes.default.svc": true, "https://Kubernetes.Default": true, "api": true, "k3s": true,
		"https://issuer.example.com/tenant": true, "https://issuer.example.com/tenant/": true, "issuer.example.com/tenant": true,
		"breakwater": false, "https://registry.example.com": false, "https://issuer.example.com": false,
	} {
		_, err := config.Parse("config.yaml", []byte(minimal+"listeners:\n  - address: 127.0.0.1:5000\n"+
			"    token: {issuer: https://issuer.example.com/tenant, audience: '"+audience+"'}\n    allow: [{subjects: ['**'], pull: ['**']}]\n"))
		if (err != nil) != refused {
			t.Errorf("audience %s: %v", audience, err)
		}
	}
}

func TestBearerTokenIsReadAnew(t *testing.T) {
	path, plain := written(t, "config.yaml", minimal+"listeners:\n  - address: 127.0.0.1:5000\n"+
		"    token: {issuer: https://issuer.example.com, audience: breakwater, bearer_token_file: /secrets/token}\n    allow: [{subjects: ['**'], pull: ['**']}]\n")
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	issuer := c.Listeners[0].Token[0]
	if len(c.Files()) > 0 {
		t.Errorf("a file that is read at each use is watched: %q", c.Files())
	}
	for content, want := range map[string]string{"renewed": "renewed", "renewed\n": "renewed"} {
		if err := os.WriteFile(issuer.BearerTokenFile, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if token, err := issuer.BearerToken(); err != nil || token.Reveal() != want {
			t.Errorf("%q is the token %q (%v)", content, token.Reveal(), err)
		}
	}
	if err := os.WriteFile(issuer.BearerTokenFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = issuer.BearerToken()
	var problem config.Problem
	want := "listeners[0].token.bearer_token_file: leads to an empty token; write the token there"
	if !errors.As(err, &problem) || plain(err.Error()) != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if token, err := (config.Issuer{}).BearerToken(); token != "" || err != nil {
		t.Errorf("without a file %q, %v", token.Reveal(), err)
	}
}

func TestReadFile(t *testing.T) {
	folder := t.TempDir()
	file := func(name string, size int) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if data, err := config.ReadFile(file("most", 1<<20)); err != nil || len(data) != 1<<20 {
		t.Errorf("a file of 1MiB: %d bytes, %v", len(data), err)
	}
	for path, want := range map[string]string{
		file("large", 1<<20+1):        "cannot be read: it is larger than 1MiB; name the right file",
		folder:                        "cannot be read: it is not a regular file; name the right file",
		filepath.Join(folder, "none"): "cannot be read: no such file or directory; create the file, or name the right one",
		os.DevNull:                    "cannot be read: it is not a regular file; name the right file",
	} {
		if data, err := config.ReadFile(path); data != nil || err == nil || err.Error() != path+" "+want {
			t.Errorf("got  %d bytes, %v\nwant %s %s", len(data), err, path, want)
		}
	}
}
