package clientkit

import (
	"errors"
	"fmt"
	"strings"
)

// BuildKit writes buildkitd.toml. Like containerd it says by ns which registry it
// means. The registry itself is always the last that it asks.
func BuildKit(m Mirror) (Snippet, error) {
	if m.NoFallback {
		return Snippet{}, errors.New("BuildKit asks the registry itself whenever its mirrors have no answer, and no setting of buildkitd.toml prevents it: " +
			"close the way there, or name images by " + m.host() + "/REGISTRY/…")
	}
	s := Snippet{Gaps: m.pairGap(), Remarks: []string{
		"For /etc/buildkit/buildkitd.toml: add it to what is there, and restart buildkitd. With buildx:\n" +
			"  docker buildx create --driver docker-container --buildkitd-config FILE\n" +
			"The builder inside dockerd (driver docker) pulls as Docker does.",
		"Where Breakwater has no answer BuildKit asks the registry itself, and nobody notices: watch Breakwater's metrics.",
	}}
	if m.loopback() {
		s.Remarks = append(s.Remarks, "In a container "+m.host()+" is the container: give --url what it reaches, unless it is on the host's network.")
	}
	var b strings.Builder
	for _, r := range m.mirrored() {
		fmt.Fprintf(&b, "[registry.%s]\n  mirrors = [%s]\n", quote(r.Name), quote(m.host()))
		if strings.HasPrefix(r.Origin, "http:") {
			b.WriteString("  http = true\n")
		}
		b.WriteByte('\n')
	}
	m.buildkitHost(&b)
	s.Files = []File{{"/etc/buildkit/buildkitd.toml", b.String()}}
	s.Remarks = append(s.Remarks, m.trust()...)
	s.Remarks = append(s.Remarks, m.own()...)
	if login := m.login("docker login"); login != nil {
		s.Remarks = append(s.Remarks, login[0]+"\nwhere buildctl or docker buildx runs: BuildKit takes the credentials from there.")
	}
	return s, nil
}

// buildkitHost writes how Breakwater is reached: a mirror has no scheme.
func (m Mirror) buildkitHost(b *strings.Builder) {
	host := quote(m.host())
	fmt.Fprintf(b, "[registry.%s]\n  http = %t\n", host, m.plain())
	if m.CA != "" {
		fmt.Fprintf(b, "  ca = [%s]\n", quote(m.CA))
	}
	if m.Access == Certificate {
		cert, key := m.pair()
		fmt.Fprintf(b, "  [[registry.%s.keypair]]\n    cert = %s\n    key = %s\n", host, quote(cert), quote(key))
	}
}
