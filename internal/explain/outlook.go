package explain

import (
	"fmt"
	"strings"

	"breakwater/internal/plain"
	"breakwater/proxy"
	"breakwater/proxy/registry"
)

// outlooks is the conclusion. Platforms that have the same share their lines.
func (p *page) outlooks() {
	if p.Route.Refused != "" {
		p.text.WriteString("\nThe next pull of this image is refused: no route leads to it.\n")
		return
	}
	var order []string
	platforms := make(map[string][]string)
	for _, o := range p.Outlooks {
		said := p.outlook(o)
		if platforms[said] == nil {
			order = append(order, said)
		}
		platforms[said] = append(platforms[said], o.Platform)
	}
	for _, said := range order {
		of := ""
		if names := strings.Join(platforms[said], ", "); names != "" {
			of = " for " + names
		}
		fmt.Fprintf(&p.text, "\nThe next pull of this image%s %s\n", of, said)
	}
}

// outlook goes on from "The next pull of this image".
func (p *page) outlook(o proxy.Outlook) string {
	var needs, lacks []string
	for _, n := range o.Needs {
		needs = append(needs, need(n))
		if n.Must {
			lacks = append(lacks, need(n))
		}
	}
	var now, down string
	switch {
	case o.Blocked:
		return "fails: part of it is blocked here by the operator."
	case o.Here:
		now = "would be served from here."
	case o.Denied:
		now = "would be refused by " + p.Route.Upstream + " unless " + p.denied() + "\n" +
			"It needs upstream for: " + strings.Join(needs, "; ") + "."
	default:
		now = "needs upstream for: " + strings.Join(needs, "; ") + "." + p.doubt()
	}
	if o.Down {
		down = "it works."
	} else {
		down = "it fails for want of: " + strings.Join(lacks, "; ") + "."
	}
	return now + "\nWith " + p.Route.Upstream + " down " + down
}

// denied goes on from "unless".
func (p *page) denied() string {
	return map[string]string{
		proxy.DeniedNothing:    "the account's rights change: no pull on project " + registry.Project(p.Route.Repository) + ", or there is no such project",
		proxy.DeniedCredential: "the account's credential is renewed: the one that is held is refused",
		proxy.DeniedRevoked:    "the account's rights change: the access to " + p.Route.Repository + " was taken back, and nothing given since",
	}[p.Right.Denied] + "; " + p.check()
}

// doubt is what the right makes of needs that need not be met, or may be.
func (p *page) doubt() string {
	switch {
	case p.Right.Denied != "":
		return "\nThat would be refused by " + p.Route.Upstream + " unless " + p.denied() +
			"\nUntil a refusal is confirmed the tag is served as it is known."
	case p.Right.Grant == proxy.GrantUnasked:
		return "\nNothing is known of the right to it: no token is held; " + p.check()
	}
	return ""
}

// check names the command that asks upstream, with the repository as clients call it in
// a path: see [breakwater/proxy/route.Route.Path].
func (p *page) check() string {
	name := p.Route.Repository
	if len(p.Route.Names) > 0 {
		name = strings.ReplaceAll(p.Route.Names[0], ":", "_")
	}
	return "`breakwater check --repository " + name + "` asks."
}

// need is 3 blobs (miss, 28.0 MiB).
func need(n proxy.Need) string {
	what := fmt.Sprintf("%d %ss", n.Count, n.What)
	switch {
	case n.What == proxy.NeedTag:
		what = "the tag"
	case n.Count == 1:
		what = "1 " + n.What
	}
	if n.Size > 0 {
		return fmt.Sprintf("%s (%s, %s)", what, n.State, plain.Size(n.Size))
	}
	return fmt.Sprintf("%s (%s)", what, n.State)
}
