package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	"breakwater/internal/explain"
	"breakwater/internal/harbortest"
	"breakwater/proxy"
)

const (
	twoRoutes = `
upstreams:
  harbor: {url: %s, username: %q, password_file: %s, ca_file: %s}
routes:
  docker.io: {to: harbor/hub-proxy, proxy_cache: true, repositories: ["**"]}
  harbor.example.com: {to: harbor, repositories: ["team-a/**"]}
listeners:
  - address: "127.0.0.1:0"
    default: docker.io
  - address: "localhost:0"
    default: harbor.example.com
    password: {htpasswd_file: %s}
    allow: [{subjects: [alice, bob], pull: ["harbor.example.com/team-a/**"]}]
admin: {address: "127.0.0.1:0"}
`
	aliceHash = "alice:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC\n"
)

// explained runs the command.
func explained(args ...string) (status int, stdout, stderr string) {
	var out, complaint bytes.Buffer
	status = run(append([]string{"explain"}, args...), &out, &complaint)
	return status, out.String(), complaint.String()
}

func TestExplainAsksTheRunningInstance(t *testing.T) {
	r := start(t, func(origin *harbortest.Server, password string) string {
		return fmt.Sprintf(twoRoutes, origin.URL, harbortest.Puller, password, write(t, "ca.pem", string(origin.CA)), write(t, "htpasswd", aliceHash))
	})
	if status, body := r.get(r.registry + "/v2/team-a/app/manifests/1.0?ns=harbor.example.com"); status != 200 {
		t.Fatalf("%d %s\n%s", status, body, r.log)
	}
	r.harbor.ResetRequests()
	dir, at := r.dir, strings.TrimPrefix(r.registry, "http://")

	report := func(args ...string) (found explain.Report) {
		t.Helper()
		status, said, complaint := explained(append(args, "--cache-dir", dir, "--json")...)
		if status != exitFine || json.Unmarshal([]byte(said), &found) != nil {
			t.Fatalf("explain %v: %d\n%s%s", args, status, said, complaint)
		}
		return found
	}
	for _, tt := range []struct {
		args        []string
		image, want string // by, and the repository upstream; or that there is none
	}{
		{[]string{"nginx"}, "docker.io/library/nginx:latest", "name hub-proxy/library/nginx"},
		{[]string{"harbor.example.com/team-a/app:1.0"}, "harbor.example.com/team-a/app:1.0", "name team-a/app"},
		{[]string{at + "/nginx"}, at + "/nginx:latest", "default hub-proxy/library/nginx"},
		{[]string{at + "/harbor.example.com/team-a/app:1.0"}, at + "/harbor.example.com/team-a/app:1.0", "path team-a/app"},
		{[]string{"mirror.test/harbor.example.com/team-a/app"}, "mirror.test/harbor.example.com/team-a/app:latest", "path team-a/app"},
		{[]string{"team-a/app", "--listener", "localhost:0"}, "docker.io/team-a/app:latest", "default team-a/app"},
		{[]string{"nginx", "--listener", "127.0.0.1:0"}, "docker.io/library/nginx:latest", "default hub-proxy/library/nginx"},
		{[]string{"docker.io/team-a/app", "--listener", "localhost:0"}, "docker.io/team-a/app:latest", "name hub-proxy/team-a/app"},
		{[]string{"quay.io/x/y"}, "quay.io/x/y:latest", "none"},
		{[]string{"quay.io/x/y", "--listener", "127.0.0.1:0"}, "quay.io/x/y:latest", "none"},
		{[]string{"harbor.example.com/team-b/secret"}, "harbor.example.com/team-b/secret:latest", "none"},
	} {
		found := report(tt.args...)
		got := found.Route.By + " " + found.Route.Repository
		if found.Route.Refused != "" {
			got = "none"
		}
		if found.Image != tt.image || got != tt.want {
			t.Errorf("explain %v: %s, %s, want %s, %s (%s)", tt.args, found.Image, got, tt.image, tt.want, found.Route.Refused)
		}
	}

	found := report("harbor.example.com/team-a/app:1.0")
	if found.Tag == nil || found.Tag.State != proxy.RecordFresh || found.Manifest == nil || found.Manifest.State != proxy.ObjectHit || found.Right.Grant != proxy.GrantPull {
		t.Errorf("what was pulled is %+v", found)
	}
	if len(found.Listeners) != 2 || !found.Listeners[0].Allowed || found.Listeners[0].Rules != nil ||
		len(found.Listeners[1].Rules) != 1 || found.Listeners[1].Rules[0] != "allow[0]: subjects alice, bob" {
		t.Errorf("its listeners are %+v", found.Listeners)
	}
	if found := report("nginx", "--listener", "localhost:0"); found.Route.Refused == "" {
		t.Errorf("at a listener with another default: %+v", found.Route)
	}
	if found := report("nginx"); len(found.Listeners) != 2 || !found.Listeners[0].Allowed || found.Listeners[1].Allowed {
		t.Errorf("the listeners of what no rule has are %+v", found.Listeners)
	}

	status, said, complaint := explained("harbor.example.com/team-a/app:1.0", "--cache-dir", dir)
	for _, want := range []string{
		"harbor.example.com/team-a/app:1.0\n\nroute  ", "repository:team-a/app:pull", "1.0 is sha256:", "fresh for ",
		"localhost:0 (password): ", "\nThe next pull of this image needs upstream for: 3 blobs (miss, ", "\nWith harbor down it fails for want of: 3 blobs",
	} {
		if status != exitFine || !strings.Contains(said, want) {
			t.Errorf("%d %s: no %q in\n%s", status, complaint, want, said)
		}
	}
	if seen := r.harbor.Requests(); len(seen) > 0 {
		t.Errorf("Harbor saw %v", seen)
	}
	for _, secret := range r.harbor.Secrets() {
		if strings.Contains(said, secret) {
			t.Errorf("a secret is explained:\n%s", said)
		}
	}

	status, _, complaint = explained("nginx", "--cache-dir", dir, "--listener", ":5000")
	if status != exitMistaken || !strings.HasPrefix(complaint, `":5000" is not the address of a listener: these are 127.0.0.1:0, localhost:0`) {
		t.Errorf("another listener: %d %s", status, complaint)
	}
}

// Mistakes of the command line are told apart from an instance that is not there.
func TestExplainWithoutAnInstance(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		args []string
		want int
		says string
	}{
		{nil, exitMistaken, "accepts 1 arg"},
		{[]string{"a", "b"}, exitMistaken, "accepts 1 arg"},
		{[]string{"Nginx", "--cache-dir", dir}, exitMistaken, `"Nginx" is not the name of an image`},
		{[]string{"nginx", "--cache-dir", dir, "--config", "x"}, exitMistaken, "both given"},
		{[]string{"nginx", "--config", dir + "/none.yaml"}, exitMistaken, "none.yaml"},
		{[]string{"nginx", "--cache-dir", dir}, exitFailed, "no running instance answers in"},
	} {
		if status, said, complaint := explained(tt.args...); status != tt.want || said != "" || !strings.Contains(complaint, tt.says) {
			t.Errorf("explain %v: %d %s%s, want %d and %q", tt.args, status, said, complaint, tt.want, tt.says)
		}
	}
	l, err := net.Listen("unix", dir+"/breakwater.sock")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if status, _, complaint := explained("nginx", "--cache-dir", dir); status != exitFailed {
		t.Errorf("after an instance that is gone: %d %s", status, complaint)
	}
}
