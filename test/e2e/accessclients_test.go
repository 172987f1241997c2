//go:build e2e

package e2e

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// etcDocker is what a Docker daemon finds in /etc/docker: the authority of each door
// with TLS, in the folder that is named after it.
func (w *accessWorld) etcDocker(t *testing.T) string {
	t.Helper()
	etc := t.TempDir()
	for door := range w.overTLS {
		dir := filepath.Join(etc, "certs.d", door)
		mustDo(t, os.MkdirAll(dir, 0o755))
		w.writeTo(t, dir)
	}
	return etc
}

// checkLogin logs in by `docker login`. What a wrong secret is answered, Docker shows
// from version 23 on; before it says no more than the status.
func (d *docker) checkLogin(t *testing.T, door string, good, wrong login) {
	t.Helper()
	args := func(l login) []string {
		return []string{"--host", d.socket, "login", "--username", l.user, "--password-stdin", door}
	}
	d.home.fail(t, "nauthorized", wrong.secret, installed(t, "docker"), args(wrong)...)
	d.home.tell(t, good.secret, installed(t, "docker"), args(good)...)
}

func (d *docker) checkRefused(t *testing.T, reference, says string) {
	t.Helper()
	d.home.fail(t, says, "", installed(t, "docker"), "--host", d.socket, "pull", reference)
}

// trust are the options by which podman and skopeo reach a door.
func (w *accessWorld) trust(h home, door string) []string {
	if w.overTLS[door] {
		return []string{"--cert-dir", h.dir}
	}
	return []string{"--tls-verify=false"}
}

// checkSkopeo logs in by `skopeo login` and copies an image.
func (w *accessWorld) checkSkopeo(t *testing.T, door string, good, wrong login) {
	t.Helper()
	h := w.newHome(t)
	skopeo := func(command string, more ...string) []string {
		options := w.trust(h, door)
		if command == "copy" {
			options = map[bool][]string{true: {"--src-cert-dir", h.dir}, false: {"--src-tls-verify=false"}}[w.overTLS[door]]
		}
		return append(append([]string{"--insecure-policy", command}, options...), more...)
	}
	app := "docker://" + door + "/team-a/app:1.0"
	h.fail(t, "invalid username/password", wrong.secret, installed(t, "skopeo"), skopeo("login", "--username", wrong.user, "--password-stdin", door)...)
	h.fail(t, "unauthorized", "", installed(t, "skopeo"), skopeo("copy", app, "dir:"+t.TempDir())...)
	h.tell(t, good.secret, installed(t, "skopeo"), skopeo("login", "--username", good.user, "--password-stdin", door)...)
	dir := t.TempDir()
	h.run(t, installed(t, "skopeo"), skopeo("copy", app, "dir:"+dir)...)
	checkFile(t, filepath.Join(dir, "manifest.json"), digestOf(t, w.harbor.app))
	checkBlobs(t, dir, w.harbor.app)
	h.fail(t, "denied", "", installed(t, "skopeo"), skopeo("copy", "docker://"+door+"/team-b/secret:1.0", "dir:"+t.TempDir())...)
}

// checkPodman logs in by `podman login` and pulls an image. All that podman keeps is
// below folders of the test's own.
func (w *accessWorld) checkPodman(t *testing.T, door string, good, wrong login) {
	t.Helper()
	h, root := w.newHome(t), shortRoot(t)
	podman := func(command string, more ...string) []string {
		args := []string{"--root", filepath.Join(root, "root"), "--runroot", filepath.Join(root, "run"), "--storage-driver", "vfs", command}
		return append(args, more...)
	}
	reached := w.trust(h, door)
	app := door + "/team-a/app:1.0"
	loggingIn := func(l login) []string {
		return podman("login", append(reached, "--username", l.user, "--password-stdin", door)...)
	}
	h.fail(t, "invalid username/password", wrong.secret, installed(t, "podman"), loggingIn(wrong)...)
	h.fail(t, "unauthorized", "", installed(t, "podman"), podman("pull", append(reached, app)...)...)
	h.tell(t, good.secret, installed(t, "podman"), loggingIn(good)...)
	h.run(t, installed(t, "podman"), podman("pull", append(reached, app)...)...)
	var images []struct{ Id, Digest string }
	decode(t, []byte(h.run(t, installed(t, "podman"), podman("image", "inspect", app)...)), &images)
	if len(images) != 1 || images[0].Id != configOf(t, w.harbor.app).Hex || images[0].Digest != digestOf(t, w.harbor.app).String() {
		t.Errorf("podman holds %+v, want %s with the config %s", images, digestOf(t, w.harbor.app), configOf(t, w.harbor.app).Hex)
	}
	h.fail(t, "denied", "", installed(t, "podman"), podman("pull", append(reached, door+"/team-b/secret:1.0")...)...)
}

// checkCrane logs in by `crane auth login`, which asks nobody whether the password is
// right, and pulls an image.
func (w *accessWorld) checkCrane(t *testing.T, door string, good, wrong login) {
	t.Helper()
	h := w.newHome(t)
	login := func(l login) {
		t.Helper()
		h.tell(t, l.secret, tool(t, "crane"), "auth", "login", "--username", l.user, "--password-stdin", door)
	}
	app, file := door+"/team-a/app:1.0", filepath.Join(t.TempDir(), "app.tar")
	h.fail(t, "UNAUTHORIZED", "", tool(t, "crane"), "pull", app, file)
	login(wrong)
	h.fail(t, "UNAUTHORIZED", "", tool(t, "crane"), "pull", app, file)
	login(good)
	h.run(t, tool(t, "crane"), "pull", app, file)
	img := must(tarball.ImageFromPath(file, nil))(t)
	if got, want := configOf(t, img), configOf(t, w.harbor.app); got != want {
		t.Errorf("config %s, want %s", got, want)
	}
	h.run(t, tool(t, "crane"), "validate", "--tarball", file)
	h.fail(t, "DENIED", "", tool(t, "crane"), "manifest", door+"/team-b/secret:1.0")
}

// askFrom is ask from another address of the loopback interface.
func (w *accessWorld) askFrom(t *testing.T, from, door, path string, as ...func(*http.Request)) answer {
	t.Helper()
	client := w.clientFrom(from)
	defer client.CloseIdleConnections()
	return must(request(client, w.url(door, path), as...))(t)
}

func (w *accessWorld) clientFrom(from string) *http.Client {
	client, dialer := w.client(), net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	client.Transport.(*http.Transport).DialContext = dialer.DialContext
	return client
}

// checks counts the credentials that were checked, with that result.
func (w *accessWorld) checks(t *testing.T, result string) (sum float64) {
	t.Helper()
	for _, metric := range scrape(t, w.world)["breakwater_client_credential_checks_total"].GetMetric() {
		if labelled(metric, "result", result) {
			sum += metric.GetCounter().GetValue()
		}
	}
	return sum
}
