package clientkit

import (
	"fmt"
	"path"
	"strings"
)

// marker begins each hosts.toml that is ours; the file's path follows.
const marker = "# breakwater client-config: "

// hostsFile is the one file that containerd reads in a registry's folder.
const hostsFile = "hosts.toml"

// everyRegistry is the folder of registries that have none.
const everyRegistry = "_default"

// Containerd writes the tree below certs.d, or wherever config_path points. containerd
// tells a mirror by ns which registry it means, so all routes have the same address.
func Containerd(m Mirror) (Snippet, error) {
	s := Snippet{Gaps: m.pairGap(), Remarks: []string{
		"For /etc/containerd/certs.d/: each file is read at the next pull, without a restart (--write DIR writes them).",
		"The CRI plugin (Kubernetes) looks there only if /etc/containerd/config.toml says so:\n" +
			"  containerd 1.x  [plugins.\"io.containerd.grpc.v1.cri\".registry]  config_path = \"/etc/containerd/certs.d\"\n" +
			"  containerd 2.x  [plugins.\"io.containerd.cri.v1.images\".registry]  config_path = \"/etc/containerd/certs.d\"\n" +
			"ctr only with --hosts-dir /etc/containerd/certs.d.",
		"A folder certs.d/REGISTRY without hosts.toml takes that registry out of _default: remove empty ones.",
		"Without \"resolve\" in capabilities tags would be asked of the registry itself.",
	}}
	for _, r := range m.mirrored() {
		s.Files = append(s.Files, m.hosts(folder(r.Name), r.Origin))
	}
	if m.EveryRegistry {
		s.Files = append(s.Files, m.hosts(everyRegistry, ""))
		s.Remarks = append(s.Remarks, "_default: of a registry without a route Breakwater says 404.")
	}
	if m.NoFallback {
		s.Remarks = append(s.Remarks, "No fallback: server is Breakwater itself. Without that line, or without [host], containerd may ask the registry after all.")
	} else {
		s.Remarks = append(s.Remarks, "Where Breakwater has no answer containerd asks server, and nobody notices: watch Breakwater's metrics.")
	}
	if m.Access == Login || m.Access == Token {
		s.Gaps = append(s.Gaps, "the credentials in Authorization, which client-config never writes: keep them where your other secrets are, and the file at mode 0600")
		s.Remarks = append(s.Remarks, "Authorization: Basic is followed by what printf %s 'USER:PASSWORD' | base64 -w0 prints.")
	}
	if m.Access == Token {
		s.Remarks = append(s.Remarks, "A token ends, and the file does not follow it: for nodes an anonymous or mtls listener is better.")
	}
	s.Remarks = append(s.Remarks, m.trust()...)
	s.Remarks = append(s.Remarks, m.own()...)
	return s, nil
}

// folder is where containerd looks first for a registry's hosts.toml. A colon is
// written so that every file system takes it.
func folder(name string) string {
	colon := strings.LastIndexByte(name, ':')
	if colon < 0 {
		return name
	}
	return name[:colon] + "_" + name[colon+1:] + "_"
}

// hosts writes one hosts.toml; origin is what is asked in the end, "" being the
// registry of the image's name.
func (m Mirror) hosts(folder, origin string) File {
	file := File{Path: path.Join(folder, hostsFile)}
	var b strings.Builder
	b.WriteString(marker + file.Path + "\n")
	at := quote(m.URL.String())
	if m.NoFallback {
		fmt.Fprintf(&b, "server = %s\n", at)
		m.server(&b, "", "header")
		b.WriteString("\n# Without this table containerd 1.6 passes the file over, and asks the registry itself.\n[host]\n")
		file.Text = b.String()
		return file
	}
	if origin != "" {
		fmt.Fprintf(&b, "server = %s\n", quote(origin))
	}
	fmt.Fprintf(&b, "\n[host.%s]\n", at)
	m.server(&b, "  ", "host."+at+".header")
	file.Text = b.String()
	return file
}

// server writes what is said of one host; the table of its headers must come last.
func (m Mirror) server(b *strings.Builder, margin, header string) {
	fmt.Fprintf(b, "%scapabilities = [\"pull\", \"resolve\"]\n", margin)
	if m.CA != "" {
		fmt.Fprintf(b, "%sca = %s\n", margin, quote(m.CA))
	}
	if m.Access == Certificate {
		cert, key := m.pair()
		fmt.Fprintf(b, "%sclient = [[%s, %s]]\n", margin, quote(cert), quote(key))
	}
	if m.Access == Login || m.Access == Token {
		fmt.Fprintf(b, "%s[%s]\n%s  Authorization = \"Basic <base64 of user:password>\"\n", margin, header, margin)
	}
}
