package route

import (
	"net/http"
	"strconv"
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
// is usual, the listener's, of which "" is none. So clients that send ns to wherever
// they were sent are led by the path. An error is a [*registry.Error].
func (t *Table) Find(request registry.Request, usual string) (Match, error) {
	r, spelled, err := t.choose(request, usual)
	if err != nil {
		return Match{}, err
	}
	m := Match{Route: r, Request: request, Spelled: spelled}
	m.Request.Prefix, m.Request.NS = "", ""
	if request.Name == "" {
		return m, nil // a base or a catalog, whose names are told apart one by one
	}
	name := r.full(strings.TrimPrefix(request.Name, spelled))
	if r.hosted(name) {
		first, _, _ := strings.Cut(name, "/")
		return Match{}, t.unknown(first, Route.Path)
	}
	if !r.opens(name) {
		return Match{}, registry.Errorf(http.StatusNotFound, registry.CodeNameUnknown,
			"%s is not opened here: whoever runs this registry can add it to the repositories of the route %s", short(name), short(r.Name))
	}
	if m.Request.Name = join(r.Prefix, name); len(m.Request.Name) > registry.MaxName {
		return Match{}, registry.Errorf(http.StatusNotFound, registry.CodeNameUnknown,
			"%s is too long: with what comes before it upstream, a name has at most %d characters", short(name), registry.MaxName)
	}
	return m, nil
}

// choose finds the route, and what spells it in the repository's name.
func (t *Table) choose(request registry.Request, usual string) (r Route, spelled string, err error) {
	first, _, nested := strings.Cut(request.Name, "/")
	byFirst, known := t.byPath[first]
	var ok bool
	switch {
	case request.Prefix != "":
		if r, ok = t.byPath[request.Prefix]; !ok {
			return Route{}, "", t.unknown(request.Prefix, Route.Path)
		}
	case nested && known: // a name alone is a repository's, as in image references
		return byFirst, request.Name[:len(first)+len("/")], nil
	case request.NS != "":
		if r, ok = t.Named(request.NS); !ok {
			return Route{}, "", t.unknown(request.NS, hostOf)
		}
	case request.Name != "":
		if r, ok = t.Named(usual); !ok {
			return Route{}, "", registry.Errorf(http.StatusNotFound, registry.CodeNameUnknown,
				"%s names no registry, and there is no usual one here: write one of these and a / before it: %s", short(request.Name), t.names(Route.Path))
		}
	}
	return r, "", nil
}

// unknown is about a part of a path, or about ns, which is any text; written is how
// routes are named in the same place.
func (t *Table) unknown(name string, written func(Route) string) error {
	return registry.Errorf(http.StatusNotFound, registry.CodeNameUnknown,
		"%s is not a registry that is served here: these are %s", short(strconv.QuoteToASCII(name)), t.names(written))
}

func hostOf(r Route) string { return r.Name }

// names lists the first routes, for whoever asked for none of them.
func (t *Table) names(written func(Route) string) string {
	const most = 100
	var list strings.Builder
	for i, r := range t.routes {
		if i > 0 {
			list.WriteString(", ")
		}
		name := written(r)
		if list.Len()+len(name) > most {
			list.WriteString("…")
			break
		}
		list.WriteString(name)
	}
	return list.String()
}

// short bounds what a message repeats.
func short(text string) string {
	const most = 72
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
