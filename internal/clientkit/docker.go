package clientkit

import (
	"errors"
	"fmt"
	"strings"
)

// daemonJSON is what Docker's daemon.json has of registries.
type daemonJSON struct {
	Mirrors  []string `json:"registry-mirrors,omitempty"`
	Insecure []string `json:"insecure-registries,omitempty"`
}

// Docker writes daemon.json. Docker mirrors docker.io alone, sends a mirror no
// credentials that belong to it, and always falls back: where that is not what was
// asked for, the error says what to do.
func Docker(m Mirror) (Snippet, error) {
	if m.NoFallback {
		return Snippet{}, errors.New("Docker asks Docker Hub whenever a mirror has no answer, and no setting of daemon.json prevents it: " +
			"with the containerd image store write containerd's files, client-config containerd --no-fallback --write /etc/docker/certs.d; " +
			"else close the way to Docker Hub, or name images by " + m.host() + "/docker.io/…")
	}
	var (
		daemon  daemonJSON
		remarks = []string{"For /etc/docker/daemon.json: add the keys to what is there, then systemctl reload docker."}
	)
	switch login := m.Access == Login || m.Access == Token; {
	case !m.opens(dockerHub):
		remarks = append(remarks, "Without registry-mirrors: no route is called docker.io, and Docker mirrors no other registry.")
	case login:
		remarks = append(remarks, "Without registry-mirrors: Docker has no credentials for a mirror, and some versions answer\n"+
			"its challenge with the user's password for Docker Hub. Use an anonymous listener for docker.io.")
	case m.Default == dockerHub:
		daemon.Mirrors = []string{m.URL.String()}
	default:
		daemon.Mirrors = []string{m.URL.JoinPath(dockerHub).String()}
		remarks = append(remarks, "A mirror with a path takes Docker 24.0 or later; older ones do not start with it. For those\n"+
			"use a listener with default: docker.io.")
	}
	if m.plain() && !m.loopback() {
		daemon.Insecure = []string{m.host()}
	}
	if len(daemon.Mirrors) > 0 {
		remarks = append(remarks,
			"Where Breakwater has no answer Docker asks Docker Hub, and nobody notices: watch Breakwater's metrics.",
			"With the containerd image store (usual since 29.0) a folder /etc/docker/certs.d/docker.io with hosts.toml\n"+
				"takes the place of registry-mirrors; there client-config containerd --write /etc/docker/certs.d does more:\n"+
				"it mirrors every route.")
	}
	remarks = append(remarks, m.dockerNames())
	remarks = append(remarks, m.certificates("/etc/docker/certs.d")...)
	if m.Access == Certificate && m.loopback() {
		remarks = append(remarks, "To an address in 127.0.0.0/8 Docker shows no client certificate: give --url another name.")
	}
	remarks = append(remarks, m.login("docker login")...)
	return Snippet{Files: []File{{"/etc/docker/daemon.json", marshal(daemon, "  ")}}, Remarks: remarks}, nil
}

// dockerNames tells how everything that Docker cannot mirror is pulled.
func (m Mirror) dockerNames() string {
	var b strings.Builder
	b.WriteString("By Breakwater's own name all registries can be pulled:")
	for _, r := range m.Routes {
		fmt.Fprintf(&b, "\n  docker pull %s/%s/REPOSITORY:TAG", m.host(), r.Path)
	}
	return b.String()
}
