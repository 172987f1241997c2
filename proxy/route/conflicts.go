package route

import (
	"fmt"
	"slices"
	"strings"

	"breakwater/proxy/registry"
)

// Conflict is what is wrong with one route, by itself or beside the others.
type Conflict struct {
	Route string // its name
	Key   string // of the route's keys in the configuration: "", "to", "repositories[0]"
	What  string // goes on from the key: "opens nothing: …"
	Fix   string // what to do, an imperative: "write library/nginx"
}

// Conflicts finds what cannot be meant: two routes for one name, two that open the same
// repositories at the same place, and what no repository can ever be found by. Hosts,
// prefixes and the characters of patterns are taken to be well-formed.
func Conflicts(routes []Route) []Conflict {
	var found []Conflict
	table := New(routes)
	for i, r := range routes {
		found = append(found, r.alone()...)
		for _, other := range routes[:i] {
			found = append(found, r.beside(other)...)
		}
		for j, p := range r.Repositories {
			what, fix := table.elsewhere(r, p.String())
			if what == "" {
				what, fix = r.idle(p.String())
			}
			if what != "" {
				found = append(found, Conflict{r.Name, repositories(j), what, fix})
			}
		}
	}
	return found
}

func repositories(i int) string { return fmt.Sprintf("repositories[%d]", i) }

// alone is what is wrong with the route, whatever others there are.
func (r Route) alone() []Conflict {
	var found []Conflict
	if name := canonical(r.Name); name != r.Name {
		found = append(found, Conflict{r.Name, "", "is another name of " + name, "write " + name + ", whose other names lead there as well"})
	}
	if len(join(r.Prefix, r.full("x"))) > registry.MaxName {
		found = append(found, Conflict{r.Name, "to", fmt.Sprintf("leaves no room for a repository's name: with what comes before it, that has at most %d characters", registry.MaxName), "write a shorter one"})
	}
	return found
}

// canonical is the one name of a registry that a route can have.
func canonical(name string) string {
	name = plain(name)
	if hub := (Route{Name: DockerHub}); slices.Contains(hub.Aliases(), name) {
		return hub.Name
	}
	return name
}

// beside is what is wrong with the route where there is the other as well.
func (r Route) beside(other Route) []Conflict {
	if r.Path() == other.Path() {
		return []Conflict{{r.Name, "", "is the same as " + other.Name + " where a path names it: there : is written _", "remove one of the two"}}
	}
	if r.Upstream != other.Upstream || r.Prefix != other.Prefix {
		return nil
	}
	var found []Conflict
	for i, mine := range r.Repositories {
		if j := slices.IndexFunc(other.Repositories, mine.Overlaps); j >= 0 {
			found = append(found, Conflict{r.Name, repositories(i),
				fmt.Sprintf("opens what %s of %s opens, and both lead to the same place", other.Repositories[j], other.Name), "leave each repository to one of them"})
		}
	}
	return found
}

// elsewhere tells why names that a pattern of r stands for are led by a route that they
// begin with, unless that leads to the same place.
func (t *Table) elsewhere(r Route, wanted string) (what, fix string) {
	first, below, _ := strings.Cut(wanted, "/")
	other, ok := t.Named(first)
	if !ok {
		other, ok = t.byPath[first]
	}
	switch {
	case !ok || below == "":
		return "", ""
	case other.Name == r.Name:
		return "begins with the route's own name, and is about what comes after it", "write " + r.fullPattern(below)
	case other.Upstream == r.Upstream && other.Prefix == join(r.Prefix, first):
		return "", ""
	}
	return fmt.Sprintf("begins with %s, and names that do are led by the route %[1]s", other.Name),
		fmt.Sprintf("write %s in repositories of %s", other.fullPattern(below), other.Name)
}

// anyName puts into a pattern what makes a name of it, if anything does: a letter fits
// beside each character that a name may have.
var anyName = strings.NewReplacer("**", "x/x", "*", "x")

// idle tells why a pattern of the route's stands for no name that a repository there
// can have.
func (r Route) idle(wanted string) (what, fix string) {
	name := anyName.Replace(wanted)
	switch {
	case len(join(r.Prefix, strings.ReplaceAll(wanted, "*", ""))) > registry.MaxName:
		return fmt.Sprintf("opens nothing: with what comes before it upstream, a repository's name has at most %d characters", registry.MaxName), "write a shorter one"
	case len(name) <= registry.MaxName && !registry.ValidName(name):
		return "opens nothing: no repository can have such a name", "write lower-case letters and digits, with one of . _ - / between them, and * or ** for any text"
	case r.hosted(name):
		return "opens nothing: on Docker Hub no user has a . in its name", "give the registry that is meant a route of its own"
	case strings.Contains(name, "/"):
		return "", ""
	case r.Name == DockerHub:
		return "opens nothing: every name on Docker Hub has a /, those of official images too", "write " + r.fullPattern(wanted)
	case r.Prefix == "":
		return "opens nothing: every repository has a project and a / before its own name", "write " + wanted + "/** for all of a project"
	}
	return "", ""
}

// fullPattern is the pattern of full names for one of names as clients write them.
func (r Route) fullPattern(wanted string) string {
	if strings.Contains(wanted, "**") {
		return wanted // stands for names with a / already
	}
	return r.full(wanted)
}
