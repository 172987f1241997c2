package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"breakwater/internal/control"
	"breakwater/internal/plain"

	"github.com/opencontainers/go-digest"
)

// printer tells what was found, to people or as JSON. What an entry and a result
// cannot tell because nobody reads any more is told by flush.
type printer struct {
	out  *bufio.Writer
	json *json.Encoder // nil for people
}

func newPrinter(w io.Writer, format string) printer {
	p := printer{out: bufio.NewWriter(w)}
	if format == "json" {
		p.json = json.NewEncoder(p.out)
		p.json.SetEscapeHTML(false)
	}
	return p
}

func (p printer) flush() error { return p.out.Flush() }

// say writes value as JSON, or the text for people.
func (p printer) say(value any, format string, args ...any) error {
	if p.json != nil {
		return p.json.Encode(value)
	}
	_, err := fmt.Fprintf(p.out, format, args...)
	return err
}

// row is an entry: entries come one by one, however many, so widths are fixed. A
// sha256 digest has 71 characters.
const row = "%-71s  %10s  %5s  %-8s  %s\n"

// entries begins a list.
func (p printer) entries() {
	if p.json == nil {
		fmt.Fprintf(p.out, row, "DIGEST", "SIZE", "USED", "KIND", "IN")
	}
}

func (p printer) entry(e control.Entry) error {
	var kinds, places []string
	for _, link := range e.Links {
		kinds = append(kinds, link.Kind)
		place := link.Repository
		if link.Suspended {
			place += " (suspended)"
		}
		places = append(places, place)
	}
	for _, tag := range e.Tags { // origin/repository:tag
		_, name, _ := strings.Cut(tag, "://")
		_, name, _ = strings.Cut(name, "/")
		places = append(places, name)
	}
	slices.Sort(kinds)
	slices.Sort(places)
	in := strings.Join(slices.Compact(places), ", ")
	if in == "" {
		in = "-"
	}
	return p.say(e, row, e.Digest, plain.Size(e.Size), ago(e.Used), strings.Join(slices.Compact(kinds), ","), in)
}

// standing is a cache in numbers, and which one.
type standing struct {
	Dir     string `json:"dir"`
	Running bool   `json:"running"` // an instance answered
	control.Stat
}

func (p printer) stat(s standing) error {
	if p.json != nil {
		return p.json.Encode(s)
	}
	state := "stopped"
	if s.Running {
		state = "an instance runs"
	}
	table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "folder\t%s (%s)\n", s.Dir, state)
	fmt.Fprintf(table, "held\t%s in %d objects\n", plain.Size(s.Bytes), s.Objects)
	if s.Running {
		fmt.Fprintf(table, "may hold\t%s\n", plain.Size(s.Budget))
		fmt.Fprintf(table, "under way\t%s promised, %d objects being read\n", plain.Size(s.Promised), s.Pinned)
	}
	fmt.Fprintf(table, "disk\t%s free\n", plain.Size(s.Free))
	if !s.Oldest.IsZero() {
		fmt.Fprintf(table, "next to go\tlast used %s ago\n", ago(s.Oldest))
	}
	fmt.Fprintf(table, "known\t%d repositories, %d tags, %d links\n", s.Repositories, s.Tags, s.Links)
	for _, d := range s.Blocked {
		fmt.Fprintf(table, "blocked\t%s\n", d)
	}
	return table.Flush()
}

// verified sums up a verification.
type verified struct {
	objects, wrong int
	bytes          int64
}

func (v *verified) add(r control.Result) {
	v.objects++
	v.bytes += r.Size
	if r.Err != "" {
		v.wrong++
	}
}

// result tells at once: a verification may take hours, and be interrupted.
func (p printer) result(r control.Result) error {
	if p.json == nil && r.Err == "" {
		return nil
	}
	if err := p.say(r, "%s  %s  %s\n", r.Digest, plain.Size(r.Size), r.Err); err != nil {
		return err
	}
	return p.flush()
}

func (p printer) verified(v verified) error {
	if p.json != nil {
		return nil // each result has been told
	}
	_, err := fmt.Fprintf(p.out, "verified %d objects, %s: %d wrong\n", v.objects, plain.Size(v.bytes), v.wrong)
	return err
}

func (p printer) purged(purged control.Purged) error {
	if purged == (control.Purged{}) {
		return p.say(purged, "nothing held\n")
	}
	return p.say(purged, "purged %d objects, %s, and %d links\n", purged.Objects, plain.Size(purged.Bytes), purged.Links)
}

// changed tells that a digest was blocked or unblocked, or with "" neither.
func (p printer) changed(done string, d digest.Digest) error {
	if done == "" {
		return p.say(map[string]digest.Digest{"not_blocked": d}, "%s was not blocked\n", d)
	}
	return p.say(map[string]digest.Digest{done: d}, "%s %s\n", done, d)
}

// ago is the time since t for people.
func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return plain.Span(time.Since(t))
}
