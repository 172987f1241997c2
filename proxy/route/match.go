package route

import (
	"net/http"
	"strings"

	"breakwater/proxy/registry"
)

// Match is where a request leads.
type Match struct {
	// Route is the zero Route for what needs none: end-1 and the catalog of all routes.
	Route Route
	// Request is the canonical one: Name is upstream's, and neither Prefix nor NS is left.
	Request registry.Request
	// Spelled is what the client wrote before the name below the route, in the path:
	// "quay.io/", or nothing.
	Spelled string
}

// Find tells where a request leads. The route is named by what stands before /v2/ in
// the path; else by the first component of the repository's name; else by ns; else it
// is usual, the listener's, of which "" is none. An error is a [*registry.Error].
func (t *Table) Find(request registry.Request, usual string) (Match, error) {
	m, err := t.find(request, usual)
	if err != nil {
		return Match{}, err
	}
	m.Request.Prefix, m.Request.NS = "", ""
	name := request.Name
	if name == "" {
		return m, nil // a base or a catalog, whose names are told apart one by one
	}
	below := strings.TrimPrefix(name, m.Spelled)
	m.Request.Name = m.Route.upstreamName(below)
	opened, ok := m.Route.Below(m.Request.Name)
	switch {
	case !ok:
		return Match{}, registry.Errorf(http.StatusNotFound, registry.CodeNameUnknown,
			"%s/%s is not opened here: whoever runs this registry opens it in routes, with repositories of %s", m.Route.Name, opened, m.Route.Name)
	case !registry.ValidName(m.Request.Name):
		return Match{}, registry.Errorf(http.StatusNotFound, registry.CodeNameUnknown,
			"%s/%s is longer than the %d characters of a repository's name, with what it is called upstream", m.Route.Name, opened, registry.MaxName)
	}
	return m, nil
}

// find finds the route.
func (t *Table) find(request registry.Request, usual string) (Match, error) {
	m := Match{Request: request}
	if request.Prefix != "" {
		var ok bool
		if m.Route, ok = t.byPath[request.Prefix]; !ok {
			return m, t.unknown(request.Prefix)
		}
		return m, nil
	}
	if first, _, nested := strings.Cut(request.Name, "/"); nested {
		if r, ok := t.byPath[first]; ok {
			m.Route, m.Spelled = r, first+"/"
			return m, nil
		}
	}
	if request.NS != "" {
		var ok bool
		if m.Route, ok = t.byName[strings.TrimSuffix(strings.ToLower(request.NS), ":443")]; !ok {
			return m, t.unknown(request.NS)
		}
		return m, nil
	}
	if request.Name == "" {
		return m, nil
	}
	var ok bool
	if m.Route, ok = t.byName[usual]; !ok {
		return m, registry.Errorf(http.StatusNotFound, registry.CodeNameUnknown,
			"%s names no registry, and none is usual here: write one of %s before it", request.Name, t.names())
	}
	return m, nil
}

func (t *Table) unknown(name string) error {
	return registry.Errorf(http.StatusNotFound, registry.CodeNameUnknown, "%.100q is not a registry that is served here: these are %s", name, t.names())
}

// names lists the first routes, for whoever asked for another.
func (t *Table) names() string {
	const most = 10
	var names []string
	for _, r := range t.routes[:min(most, len(t.routes))] {
		names = append(names, r.Name)
	}
	if len(t.routes) > most {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}
