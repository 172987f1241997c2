package route

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"breakwater/internal/pattern"
)

// Route leads from the name of a registry, as clients write it, to a place upstream.
type Route struct {
	// Name is the registry: a host in lower case, with its port if that is not 443.
	Name string
	// Upstream is its name in the configuration.
	Upstream string
	// Prefix comes before a client's name upstream, such as hub-proxy; "" where both
	// are the same.
	Prefix string
	// Repositories are those that are opened, as clients name them below the route.
	Repositories []pattern.Pattern

	ProxyCache bool          // it caches another registry: a 404 there may be an outage
	Complete   bool          // what manifests list is fetched before it is asked for
	TagTTL     time.Duration // how long a tag stays what it was found to be without asking
}

// DockerHub is the one registry with official images: whose names have one component,
// and lie below library/.
const DockerHub = "docker.io"

const official = "library/"

// Aliases are other names that clients have for the same registry.
func (r Route) Aliases() []string {
	if r.Name == DockerHub {
		return []string{"index.docker.io", "registry-1.docker.io"}
	}
	return nil
}

// Path is the route's name as the first component of a repository's name, in which no
// colon can be: harbor.example.com_8443.
func (r Route) Path() string { return inPath(r.Name) }

func inPath(name string) string { return strings.ReplaceAll(name, ":", "_") }

// upstreamName is what upstream calls a repository that is name below the route.
func (r Route) upstreamName(name string) string {
	if r.Name == DockerHub && name != "" && !strings.Contains(name, "/") {
		name = official + name
	}
	return join(r.Prefix, name)
}

// Below is the inverse: what upstream's repository is called below the route; not ok
// where the route does not open it.
func (r Route) Below(repository string) (name string, ok bool) {
	if !r.covers(repository) {
		return "", false
	}
	name = strings.TrimPrefix(strings.TrimPrefix(repository, r.Prefix), "/")
	return name, r.opens(name)
}

// covers tells whether upstream's repository lies below the route's prefix.
func (r Route) covers(repository string) bool {
	return r.Prefix == "" || strings.HasPrefix(repository, r.Prefix+"/")
}

func (r Route) opens(name string) bool { return pattern.Match(r.Repositories, name) }

func join(prefix, name string) string {
	if prefix == "" || name == "" {
		return prefix + name
	}
	return prefix + "/" + name
}

// Table is all routes. It does not change.
type Table struct {
	routes []Route          // by name
	byName map[string]Route // aliases, and the forms of paths, included
	byPath map[string]Route
}

// New returns the table of routes that [Conflicts] finds nothing wrong with.
func New(routes []Route) *Table {
	t := &Table{
		routes: slices.SortedFunc(slices.Values(routes), func(a, b Route) int { return cmp.Compare(a.Name, b.Name) }),
		byName: make(map[string]Route), byPath: make(map[string]Route),
	}
	for _, r := range t.routes {
		for _, name := range append(r.Aliases(), r.Name) {
			t.byName[name], t.byPath[inPath(name)] = r, r
		}
	}
	return t
}

// Routes are all of them, by name.
func (t *Table) Routes() []Route { return t.routes }

// Named returns the route of that name, or of which it is an alias.
func (t *Table) Named(name string) (Route, bool) {
	r, ok := t.byName[name]
	return r, ok
}
