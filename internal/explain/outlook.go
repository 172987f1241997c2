package explain

import (
	"fmt"
	"strings"

	"breakwater/internal/plain"
	"breakwater/proxy"
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
	default:
		now = "needs upstream for: " + strings.Join(needs, "; ") + "."
	}
	if o.Down {
		down = "it works."
	} else {
		down = "it fails for want of: " + strings.Join(lacks, "; ") + "."
	}
	return now + "\nWith " + p.Route.Upstream + " down " + down
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
