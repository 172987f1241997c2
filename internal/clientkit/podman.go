package clientkit

import (
	"fmt"
	"strings"
)

// Podman writes registries.conf, which podman, skopeo, buildah and CRI-O read. Their
// library does not say to a mirror which registry it means, so each route has its own
// path there.
func Podman(m Mirror) (Snippet, error) {
	s := Snippet{Remarks: []string{
		"For /etc/containers/registries.conf.d/50-breakwater.conf, or $HOME/.config/containers/registries.conf.d/ of one user.\n" +
			"podman, buildah and skopeo read it at the next pull; CRI-O after systemctl reload crio.",
		"Of two [[registry]] with one prefix only one counts: look for others in /etc/containers.",
		"skopeo 1.9 ignores CONTAINERS_REGISTRIES_CONF; --registries-conf works.",
		"After the manifest there is no fallback: a blob that Breakwater cannot bring ends the pull.",
	}}
	if m.opens(dockerHub) {
		s.Remarks = append(s.Remarks, "Names without a registry (podman pull nginx) lead to docker.io only where registries.conf says\n"+
			"  unqualified-search-registries = [\"docker.io\"]")
	}
	if m.NoFallback {
		s.Remarks = append(s.Remarks, "No fallback: blocked = true keeps them from the registry itself, for pushes and logins as well, and lets them ask the mirror.")
	} else {
		s.Remarks = append(s.Remarks, "Where Breakwater has no manifest they ask location, and nobody notices: watch Breakwater's metrics.")
	}
	var b strings.Builder
	for i, r := range m.mirrored() {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "[[registry]]\nprefix = %s\nlocation = %[1]s\n", quote(r.Name))
		switch {
		case m.NoFallback:
			b.WriteString("blocked = true\n")
		case strings.HasPrefix(r.Origin, "http:"):
			b.WriteString("insecure = true\n")
		}
		fmt.Fprintf(&b, "[[registry.mirror]]\nlocation = %s\n", quote(m.host()+"/"+r.Path))
		if m.plain() {
			b.WriteString("insecure = true\n")
		}
	}
	s.Files = []File{{"/etc/containers/registries.conf.d/50-breakwater.conf", b.String()}}
	s.Remarks = append(s.Remarks, m.certificates("/etc/containers/certs.d")...)
	s.Remarks = append(s.Remarks, m.login("podman login")...)
	s.Remarks = append(s.Remarks, m.own()...)
	return s, nil
}
