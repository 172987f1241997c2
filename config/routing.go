package config

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"breakwater/proxy/registry"
	"breakwater/proxy/route"
)

const maxRoutes = 1000 // each is compared with each

// validateRoutes reports what is wrong with each route, and then, if they can be
// understood, with all of them together.
func (c Config) validateRoutes(r *report) {
	switch {
	case c.Routes == nil && len(c.Upstreams) > 1:
		r.missing("", "routes", "is missing, and there are several upstreams", "write which names of clients lead where, such as routes: {docker.io: {to: "+c.place()+", repositories: [\"**\"]}}")
	case c.Routes != nil && len(c.Routes) == 0 || len(c.Routes) > maxRoutes:
		r.problem("routes", fmt.Sprintf("has %d entries", len(c.Routes)), fmt.Sprintf("write 1 to %d; without one nothing can be pulled", maxRoutes))
		return
	}
	for _, name := range slices.Sorted(maps.Keys(c.Routes)) {
		c.validateRoute(r, join("routes", name), name)
	}
	if r.flawed("routes") {
		return
	}
	for _, conflict := range route.Conflicts(c.table()) {
		r.problem(strings.TrimSuffix(join("routes", conflict.Route)+"."+conflict.Key, "."), conflict.What, conflict.Fix)
	}
	if len(c.Routes) > 0 {
		c.warnOfUnused(r)
	}
}

// warnOfUnused tells upstreams that are never asked.
func (c Config) warnOfUnused(r *report) {
	used := map[string]bool{}
	for _, t := range c.Routes {
		upstream, _ := t.place()
		used[upstream] = true
	}
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		if !used[name] {
			r.warn(join("upstreams", name), "is where no route leads, and is never asked", "lead one there with to: "+name+", or remove it")
		}
	}
}

func (c Config) validateRoute(r *report, at, name string) {
	t := c.Routes[name]
	r.wrong(at, registryName(name))
	c.validateTo(r, at, t)
	upstream, prefix := t.place()
	if t.TagTTL != c.Upstreams[upstream].TagTTL { // which is reported there
		within(r, at+".tag_ttl", t.TagTTL, 0, 24*time.Hour)
	}
	if t.Repositories == nil {
		r.missing(at, at+".repositories", "is missing, and what it does not open nobody may pull", "write what is opened below "+name+", such as repositories: [\"**\"] for all")
		return
	}
	validatePatterns(r, at+".repositories", t.Repositories, repositories)
	for i, written := range t.Repositories {
		if rest, doubled := strings.CutPrefix(written, prefix+"/"); doubled && prefix != "" {
			r.warn(fmt.Sprintf("%s.repositories[%d]", at, i), shown(written)+" begins with what the route puts before each name itself", "write "+rest)
		}
	}
	if !strings.ContainsAny(name, ".:") && name != "localhost" && !c.implied(name) {
		r.warn(at, "has neither a dot nor a port: clients take such a word for a part of a repository's name, never for a registry", "write a host as they do, such as "+name+".example.com")
	}
}

// implied tells whether an upstream itself is called that.
func (c Config) implied(name string) bool {
	for _, u := range c.Upstreams {
		if u.URL.URL != nil && u.URL.registry() == name {
			return true
		}
	}
	return false
}

// place is an example of where a route may lead.
func (c Config) place() string {
	return append(c.known(), "harbor")[0] + "/hub-proxy"
}

// known are the upstreams that a route can lead to.
func (c Config) known() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.Upstreams)), func(name string) bool { return !isUpstreamName(name) })
}

// validateTo sees to it that a route leads to an upstream.
func (c Config) validateTo(r *report, at string, t Route) {
	path := at + ".to"
	upstream, prefix, slash := strings.Cut(t.To, "/")
	known := c.known()
	switch {
	case t.To == "":
		r.missing(at, path, "is missing", "write the name of an upstream, and after a / what comes before clients' names there, such as "+c.place())
	case len(known) == 0: // which is reported
	case !slices.Contains(known, upstream):
		r.wrong(path, c.notUpstream(t.To))
	case slash && prefix == "":
		r.problem(path, "ends with a /", "write "+upstream)
	case strings.Contains(prefix, "*"):
		r.problem(path, shown(prefix)+" is a pattern, and one place is meant", "write the place, and the pattern in repositories")
	case prefix != "" && !registry.ValidName(prefix):
		r.problem(path, shown(prefix)+" cannot come before a repository's name", "write what Harbor calls the project, such as "+upstream+"/hub-proxy")
	}
}

// notUpstream is what is wrong with where a route leads, if that begins with no upstream's
// name. A URL is not shown, which may hold a password.
func (c Config) notUpstream(to string) *mistake {
	known := c.known()
	upstream, _, _ := strings.Cut(to, "/")
	one := "write one of " + some(known) + ", and after a / what comes before clients' names there"
	if _, _, url := strings.Cut(to, "://"); url {
		if same := c.at(to); same != "" {
			one = "write " + same
		}
		return &mistake{"is a URL, and the name that upstreams has for it is meant", one}
	}
	project := strings.Trim(to, "/")
	switch meant := closest(upstream, known); {
	case meant != "":
		return &mistake{shown(upstream) + " is not an upstream", fmt.Sprintf("did you mean %q?", meant)}
	case len(known) == 1 && registry.ValidName(project):
		one = "write " + known[0] + "/" + project
	}
	if upstream == "" {
		return &mistake{"begins with a /, and an upstream comes first", one}
	}
	return &mistake{shown(upstream) + " is not an upstream", one}
}

// at is the place that a URL names, where an upstream has that origin.
func (c Config) at(address string) string {
	var u URL
	if u.parse(address) != nil {
		return ""
	}
	names := c.known()
	i := slices.IndexFunc(names, func(name string) bool {
		own := c.Upstreams[name].URL
		return own.URL != nil && own.origin() == u.origin()
	})
	if i < 0 {
		return ""
	}
	if prefix := strings.Trim(u.Path, "/"); registry.ValidName(prefix) {
		return names[i] + "/" + prefix
	}
	return names[i]
}

// hostGrammar is that of a registry in an image reference, in lower case.
var hostGrammar = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])(?::[0-9]+)?$`)

// registryName is what is wrong with the name of a route: a host, and a port unless it
// is 443, as in an image reference.
func registryName(name string) *mistake {
	fix := "write a host as in an image reference, such as docker.io or harbor.example.com:8443"
	if one := spelling(name); one != name && isRegistry(one) {
		fix = "write " + one
	}
	switch {
	case strings.Contains(name, "://"):
		return &mistake{"is a URL, and a route is named as in an image reference", fix}
	case strings.Contains(name, "/"):
		return &mistake{"is more than the name of a registry", fix}
	case strings.Contains(name, "*"):
		return &mistake{"is a pattern, and one registry is meant", "write a route for each"}
	case strings.ToLower(name) != name:
		return &mistake{"has capitals, which say nothing in the name of a registry", fix}
	case strings.HasSuffix(name, ":443"):
		return &mistake{"has the port that is usual, which is never written", fix}
	case !isRegistry(name):
		return &mistake{"is not the name of a registry", fix}
	}
	return nil
}

func isRegistry(name string) bool {
	if len(name) > registry.MaxName || !hostGrammar.MatchString(name) {
		return false
	}
	host, port := name, ""
	if colon := strings.LastIndexByte(name, ':'); colon > strings.LastIndexByte(name, ']') {
		host, port = name[:colon], name[colon+1:]
	}
	if literal, ok := strings.CutPrefix(host, "["); ok {
		if _, err := netip.ParseAddr(strings.TrimSuffix(literal, "]")); err != nil {
			return false
		}
	}
	return port == "" || validPort(port)
}

// spelling is the one that a host has, of whatever was written for it.
func spelling(name string) string {
	name = strings.ToLower(name)
	if _, rest, url := strings.Cut(name, "://"); url {
		name = rest
	}
	name, _, _ = strings.Cut(name, "/")
	return strings.TrimSuffix(name, ":443")
}

// some lists the first few names.
func some(names []string) string {
	const most = 8
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "…")
	}
	return strings.Join(names, ", ")
}
