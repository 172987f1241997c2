package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"breakwater/internal/pattern"
	"breakwater/proxy/route"
)

// opening is one route, as far as it opens names of clients: those that one of names
// stands for.
type opening struct {
	name, prefix string            // the route's, and what it puts before names upstream
	names        []pattern.Pattern // docker.io/library/*
	possible     pattern.Pattern   // docker.io/**/**: what a name there looks like
}

// openings are the names that clients may have for repositories, by route. There is
// none where routes are not understood.
func (c Config) openings(r *report) []opening {
	if r.flawed("routes") {
		return nil
	}
	var all []opening
	for _, t := range c.table() {
		possible := t.Name + "/**"
		if t.Prefix == "" || t.Name == route.DockerHub { // a project or library/ comes first
			possible += "/**"
		}
		o := opening{name: t.Name, prefix: t.Prefix, possible: pattern.New(possible)}
		for _, below := range t.Repositories {
			o.names = append(o.names, pattern.New(t.Name+"/"+below.String()))
		}
		all = append(all, o)
	}
	return all
}

// opens tells whether there may be a name that the pattern stands for.
func (o opening) opens(p pattern.Pattern) bool {
	return o.possible.Overlaps(p) && slices.ContainsFunc(o.names, p.Overlaps)
}

// validateName refuses a pattern that no name of any route matches.
func (c Config) validateName(r *report, path, written string, all []opening) {
	if len(all) == 0 || r.reported[path] || matches(written, all) {
		return
	}
	first, rest, nested := strings.Cut(written, "/")
	names := slices.Sorted(maps.Keys(c.Routes))
	named := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !pattern.New(first).Matches(name) })
	candidates, meant := spelled(written, all), c.meant(first)
	switch {
	case len(named) > 0 && !nested:
		r.problem(path, shown(written)+" is a registry, and its repositories are meant", "write "+written+"/** for all of them")
	case len(named) > 0:
		r.wrong(path, unopened(written, named, all))
	case meant != "" && nested:
		r.problem(path, shown(written)+" begins with the name of no route", below(meant, rest, all))
	case len(candidates) > 0:
		r.problem(path, shown(written)+" begins with the name of no route", "write "+strings.Join(candidates, " or "))
	case hostLike(first):
		r.problem(path, shown(written)+" begins with the name of no route", "add "+first+" to routes, or begin with one of "+some(names)+", and a /")
	default:
		r.problem(path, shown(written)+" begins with the name of no route", "begin with one of "+some(names)+", and a /")
	}
}

// below is the fix of a pattern whose first part was meant to be that route: nothing that
// would be refused in its turn.
func below(route, rest string, all []opening) string {
	if name := route + "/" + rest; matches(name, all) {
		return fmt.Sprintf("did you mean %q?", name)
	}
	return fmt.Sprintf("if the route %s is meant: %s", route, unopened(route+"/"+rest, []string{route}, all).fix)
}

// hosted is the registry that a pattern names below Docker Hub, where no user has a dot in
// its name; "" where it names none.
func hosted(written string) string {
	rest, hub := strings.CutPrefix(written, route.DockerHub+"/")
	first, _, nested := strings.Cut(rest, "/")
	if !hub || !nested || !strings.Contains(first, ".") || strings.Contains(first, "**") {
		return ""
	}
	return first
}

// unopened is what is wrong with a pattern that begins with the named routes and
// matches nothing of theirs.
func unopened(written string, named []string, all []opening) *mistake {
	first, rest, _ := strings.Cut(written, "/")
	if host := hosted(written); host != "" {
		fix := "give " + host + " a route of its own, and write " + rest
		if matches(rest, all) {
			fix = "write " + rest
		}
		return &mistake{shown(written) + " matches nothing: on Docker Hub no user has a . in its name", fix}
	}
	whole := written + "/**"
	if first == route.DockerHub {
		whole = first + "/library/" + rest
	}
	if !strings.Contains(rest, "/") && matches(whole, all) {
		return &mistake{shown(written) + " matches nothing: all names there have one word more", "write " + whole}
	}
	return &mistake{shown(written) + " matches nothing that is opened of " + some(named), "add " + rest + " to repositories there, or remove it here"}
}

func matches(written string, all []opening) bool {
	p := pattern.New(written)
	return hosted(written) == "" && slices.ContainsFunc(all, func(o opening) bool { return o.opens(p) })
}

// spelled is what clients call what upstream calls so: three names at most, those first
// whose route leads closest.
func spelled(written string, all []opening) []string {
	const most = 3
	var under, beside, elsewhere []string
	for _, o := range all {
		below, inside := strings.CutPrefix(written, o.prefix+"/")
		switch {
		case o.prefix == "":
			beside = append(beside, o.name+"/"+written)
		case inside:
			under = append(under, o.name+"/"+below)
		default:
			elsewhere = append(elsewhere, o.name+"/"+written)
		}
	}
	if first, _, _ := strings.Cut(written, "/"); hostLike(first) {
		beside, elsewhere = nil, nil // a registry is meant, and no project
	}
	names := slices.DeleteFunc(slices.Concat(under, beside, elsewhere), func(name string) bool { return !matches(name, all) })
	return names[:min(most, len(names))]
}

// hostLike tells of a name's first part that it is a registry's rather than a project's.
func hostLike(first string) bool { return strings.ContainsAny(first, ".:") }

// meant is the route that was probably meant by a name that none has; "" if there is none.
func (c Config) meant(name string) string {
	one := spelling(name)
	if t, known := c.Table().Named(one); known {
		return t.Name
	}
	names := slices.Sorted(maps.Keys(c.Routes))
	if i := slices.IndexFunc(c.table(), func(t route.Route) bool { return t.Path() == one }); i >= 0 {
		return names[i]
	}
	for _, t := range c.table() {
		if own := c.Upstreams[t.Upstream].URL; own.URL != nil && own.Host == name && t.Prefix == "" {
			return t.Name
		}
	}
	return closest(name, names)
}

// validateDefault sees to it that what clients name without a registry is of a route.
func (c Config) validateDefault(r *report, path, name string) {
	if _, known := c.Routes[name]; known || name == "" || len(c.Routes) == 0 || r.flawed("routes") {
		return
	}
	fix := "write one of " + some(slices.Sorted(maps.Keys(c.Routes)))
	if meant := c.meant(name); meant != "" {
		fix = fmt.Sprintf("did you mean %q?", meant)
	}
	r.problem(path, shown(name)+" is not the name of a route", fix)
}
