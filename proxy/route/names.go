package route

// Names are all names that clients may have for upstream's repository, each with its
// route: docker.io/library/nginx. There is none where no route opens it.
func (t *Table) Names(upstream, repository string) []string {
	var names []string
	for _, r := range t.routes {
		if r.Upstream != upstream {
			continue
		}
		if name, ok := r.Below(repository); ok {
			names = append(names, r.Name+"/"+name)
		}
	}
	return names
}

// Of is the route whose settings hold for upstream's repository, whichever way it is
// asked for: the closest of those that open it; where none does, of those that lead
// there. It is a proxy cache if any that leads there is one, whatever that opens: a route
// to a part of it that is silent about that must not make its word be believed. Not ok
// where none leads there.
func (t *Table) Of(upstream, repository string) (Route, bool) {
	var best Route
	found, opened, cached := false, false, false
	for _, r := range t.routes {
		name, below := r.cut(repository)
		if r.Upstream != upstream || !below {
			continue
		}
		cached = cached || r.ProxyCache
		opens := r.opens(name)
		if !found || opens && !opened || opens == opened && len(r.Prefix) > len(best.Prefix) {
			best, found, opened = r, true, opens
		}
	}
	best.ProxyCache = cached
	return best, found
}
