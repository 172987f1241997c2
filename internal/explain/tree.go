package explain

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"breakwater/internal/plain"
	"breakwater/proxy"
)

// tree is what the pull takes, each object with where it is.
func (p *page) tree() {
	if p.Manifest == nil {
		return
	}
	p.text.WriteByte('\n')
	table := tabwriter.NewWriter(&p.text, 0, 0, 2, ' ', 0)
	branch(table, *p.Manifest, 0)
	_ = table.Flush() // into memory
}

func branch(table io.Writer, o proxy.Object, depth int) {
	indent := strings.Repeat("  ", depth)
	what := o.Kind
	if o.Platform != "" {
		what = o.Platform
	}
	size := "?"
	if o.Size >= 0 {
		size = plain.Size(o.Size)
	}
	fmt.Fprintf(table, "%s%s\t%s\t%s\t%s\n", indent, what, size, o.Digest, strings.Join(state(o), "; "))
	for _, c := range o.Children {
		branch(table, c, depth+1)
	}
	if o.More > 0 {
		fmt.Fprintf(table, "%s  and %d more\n", indent, o.More)
	}
}

// state is a word for where an object is, and what is to be said of it.
func state(o proxy.Object) []string {
	said := []string{o.State}
	switch o.State {
	case proxy.ObjectUnlinked:
		said[0] = "unlinked: held, but upstream is asked first whether this repository has it"
	case proxy.ObjectSuspended:
		said[0] = "suspended: upstream took it back; it is asked again first"
	case proxy.ObjectFilling:
		said[0] = "filling: " + plain.Size(o.Arrived) + " of it here"
		if !o.Linked {
			said = append(said, "upstream is asked first whether this repository has it")
		}
	case proxy.ObjectBlocked:
		said[0] = "blocked by the operator"
	}
	if o.Kind == proxy.KindOfManifest && !o.Held {
		said = append(said, "what it lists is known when it is here")
	}
	if o.Suspected {
		said = append(said, "refused once, and asked again soon")
	}
	if o.Refused != "" {
		said = append(said, "a moment ago the answer was: "+o.Refused)
	}
	return said
}
