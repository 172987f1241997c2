package explain

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"breakwater/internal/plain"
	"breakwater/proxy"
)

// Render writes the report for people.
func Render(w io.Writer, r Report) error {
	p := page{Report: r}
	fmt.Fprintf(&p.text, "%s\n\n", r.Image)
	p.facts()
	p.tree()
	p.outlooks()
	_, err := p.text.WriteTo(w)
	return err
}

// page is a report that is being written.
type page struct {
	Report
	text bytes.Buffer
}

// facts are what is known, one thing a line.
func (p *page) facts() {
	table := tabwriter.NewWriter(&p.text, 0, 0, 2, ' ', 0)
	line := func(what, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", what, fmt.Sprintf(format, args...))
	}
	lines := func(what string, said []string) {
		for _, s := range said {
			line(what, "%s", s)
			what = ""
		}
	}
	defer func() { _ = table.Flush() }() // into memory
	if p.Route.Refused != "" {
		line("route", "none: %s", p.Route.Refused)
		line("open", "%s", strings.Join(p.Route.Open, ", "))
		return
	}
	line("route", "%s", p.route())
	line("upstream", "%s (%s), where it is %s", p.Route.Upstream, p.Route.Origin, p.Route.Repository)
	line("scope", "%s", p.Right.Scope)
	line("grant", "%s", p.grant())
	lines("tag", p.tag())
	lines("listeners", p.listeners())
}

func (p *page) route() string {
	said := p.Route.Name + map[string]string{
		proxy.ByName:    ", by the registry's name",
		proxy.ByPath:    ", by the first part of the path",
		proxy.ByDefault: ", the listener's default",
	}[p.Route.By]
	if p.Route.ProxyCache {
		said += "; a proxy-cache project"
	}
	if p.Route.Complete {
		said += "; kept complete"
	}
	return said
}

func (p *page) grant() string {
	r := p.Right
	account := r.Account
	if account == "" {
		account = "nobody (no username is set)"
	}
	var said string
	switch r.Grant {
	case proxy.GrantOpen:
		return "upstream asks for no token"
	case proxy.GrantPull:
		said = "pull, to " + account
	case proxy.GrantNothing:
		said = "no pull, to " + account
	case proxy.GrantUnknown:
		said = "not told by what " + account + " is let in with"
	default:
		said = "nothing is known of it: no token is held"
	}
	if !r.Since.IsZero() {
		said += "; as of " + p.ago(r.Since)
	}
	if !r.Until.IsZero() {
		said += "; the token is good " + p.until(r.Until)
	}
	if r.Due {
		said += "; older than access_ttl, so a hit has it proven anew in the background"
	}
	if r.Suspected {
		said += "; refused once since, and asked again soon"
	}
	if r.Revoked {
		said += "; upstream took the access back, and has given nothing since"
	}
	if r.Fault != "" {
		said += "; no token can be had now, the credential is " + r.Credential + ": " + r.Fault
	}
	return said
}

// tag is what its record says, in some lines.
func (p *page) tag() []string {
	t := p.Tag
	if t == nil {
		return nil
	}
	if t.State == proxy.RecordUnknown {
		return append([]string{t.Name + ": there is no record of it, upstream is asked"}, p.refused(t.Refused)...)
	}
	lines := []string{t.Name + " is " + t.Digest.String(), ""}
	switch t.State {
	case proxy.RecordFresh:
		lines[1] = "fresh " + p.until(t.Fresh)
	case proxy.RecordStale:
		lines[1] = "stale " + p.since(t.Fresh) + ": upstream is asked; while it cannot be, the tag is served all the same"
		if !t.Stale.IsZero() {
			lines[1] += ", " + p.until(t.Stale)
		}
	case proxy.RecordExpired:
		lines[1] = "stale " + p.since(t.Fresh) + ": upstream is asked; while it cannot be, the tag is not served"
	case proxy.RecordSuspended:
		lines[1] = "suspended: upstream refused it, and again when it was asked anew; it is asked each time, and one yes restores it"
	}
	lines[1] += "; confirmed " + p.ago(t.Checked)
	if t.Suspected {
		lines = append(lines, "upstream refused it once, and is asked again soon; until then it counts as an outage")
	}
	if t.Next != "" {
		lines = append(lines, "upstream names "+t.Next.String()+" "+p.since(t.NextSince)+",",
			"an index that lacks platforms of this one: it is taken over if it lasts "+p.until(t.NextAt))
	}
	return append(lines, p.refused(t.Refused)...)
}

func (p *page) refused(answer string) []string {
	if answer == "" {
		return nil
	}
	return []string{"a moment ago the answer was: " + answer}
}

func (p *page) listeners() []string {
	var said []string
	for _, l := range p.Listeners {
		said = append(said, l.String())
	}
	return said
}

// String is what is said of a listener.
func (l Listener) String() string {
	said := l.Address + " (" + l.Mode + "): "
	switch {
	case !l.Allowed:
		said += "nobody: no rule of its allow has this repository"
	case len(l.Rules) == 0:
		said += l.Who
	default:
		said += l.Who + ", by " + strings.Join(l.Rules, "; ")
	}
	if l.Default != "" {
		said += " (default: " + l.Default + ")"
	}
	return said
}

// ago, since and until are a moment in words, and by the clock.
func (p *page) ago(t time.Time) string {
	return fmt.Sprintf("%s ago (%s)", plain.Span(p.At.Sub(t)), clock(t))
}

func (p *page) since(t time.Time) string {
	return fmt.Sprintf("for %s (since %s)", plain.Span(p.At.Sub(t)), clock(t))
}

func (p *page) until(t time.Time) string {
	return fmt.Sprintf("for %s more (until %s)", plain.Span(t.Sub(p.At)), clock(t))
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
