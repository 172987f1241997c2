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

// DockerHub is the one registry with official images: clients may write their names
// without the library/ that they lie below.
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
// colon can be: harbor.example.com_8443. An IPv6 address has no such form; it is found
// by ns, or as what is usual.
func (r Route) Path() string { return inPath(r.Name) }

func inPath(name string) string { return strings.ReplaceAll(name, ":", "_") }

// full is the whole name below the route of what a client may write shorter.
func (r Route) full(name string) string {
	if r.Name == DockerHub && !strings.Contains(name, "/") {
		return official + name
	}
	return name
}

// hosted tells of a name that begins with another registry's host. On Docker Hub no user
// has a dot in its name, so that is a route that is not there, or misspelled; elsewhere a
// project may be called so.
func (r Route) hosted(name string) bool {
	first, _, nested := strings.Cut(name, "/")
	return r.Name == DockerHub && nested && strings.Contains(first, ".")
}

// Below tells what upstream's repository is called below the route, in full; not ok
// where nothing leads there: the route does not open it, or has no name for it.
func (r Route) Below(repository string) (name string, ok bool) {
	name, ok = r.cut(repository)
	if !ok || r.full(name) != name || r.hosted(name) || !r.opens(name) {
		return "", false
	}
	return name, true
}

// cut takes off the route's prefix; not ok where upstream's repository does not lie
// below it.
func (r Route) cut(repository string) (name string, ok bool) {
	if r.Prefix == "" {
		return repository, true
	}
	rest, ok := strings.CutPrefix(repository, r.Prefix)
	if !ok {
		return "", false
	}
	return strings.CutPrefix(rest, "/")
}

func (r Route) opens(name string) bool { return pattern.Match(r.Repositories, name) }

// join puts what a place upstream is called before a name there.
func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "/" + name
}

// Table is all routes. It does not change.
type Table struct {
	routes []Route          // by name
	byName map[string]Route // aliases included
	byPath map[string]Route // the same, in the form that names have in a path
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
func (t *Table) Routes() []Route { return slices.Clone(t.routes) }

// Named returns the route that clients mean by a registry's host: by its name or an
// alias, in whatever case, with or without the port 443.
func (t *Table) Named(host string) (Route, bool) {
	r, ok := t.byName[plain(host)]
	return r, ok
}

// plain is a host (RFC 3986 §3.2.2) as routes are named by it.
func plain(host string) string { return strings.TrimSuffix(strings.ToLower(host), ":443") }
