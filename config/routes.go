package config

import (
	"maps"
	"slices"
	"strings"
	"time"

	"breakwater/internal/pattern"
	"breakwater/proxy/route"
)

// proxyCacheTagTTL is the usual TagTTL of a route to a proxy-cache project: there each
// question about a tag makes Harbor ask its own source.
const proxyCacheTagTTL = 15 * time.Minute

// notWritten is a TagTTL that follows from other values. It is out of every range.
const notWritten = -Forever

// Route leads from the name of a registry, as clients write it, to a place upstream.
type Route struct {
	To           string   `yaml:"to"`           // the upstream's name, and after a / what comes before a client's name there
	ProxyCache   bool     `yaml:"proxy_cache"`  // it fetches from another registry: a 404 there may be an outage
	Complete     bool     `yaml:"complete"`     // what a held image lacks is fetched unasked
	TagTTL       Duration `yaml:"tag_ttl"`      // in place of the upstream's; 15m with ProxyCache
	Repositories []string `yaml:"repositories"` // those that are opened, below the route: patterns as in [Rule]
}

// usual is what decoding begins with.
func (*Route) usual() any { return Route{TagTTL: Duration{notWritten}} }

// place is upstream's name, and the prefix there.
func (t Route) place() (upstream, prefix string) {
	upstream, prefix, _ = strings.Cut(t.To, "/")
	return upstream, prefix
}

// Table is the routes, of a configuration that has no problems.
func (c Config) Table() *route.Table { return route.New(c.table()) }

func (c Config) table() []route.Route {
	var routes []route.Route
	for _, name := range slices.Sorted(maps.Keys(c.Routes)) {
		written := c.Routes[name]
		upstream, prefix := written.place()
		routes = append(routes, route.Route{
			Name: name, Upstream: upstream, Prefix: prefix, Repositories: pattern.All(written.Repositories...),
			ProxyCache: written.ProxyCache, Complete: written.Complete, TagTTL: written.TagTTL.Duration,
		})
	}
	return routes
}

// completeRoutes implies the one route of an only upstream, where none was written, and
// fills in the TTLs that follow from other values.
func (c *Config) completeRoutes(r *report) {
	if c.Routes == nil && len(c.Upstreams) == 1 {
		for _, u := range c.Upstreams {
			c.imply(r, u)
		}
	}
	for name, t := range c.Routes {
		upstream, _ := t.place()
		switch {
		case t.TagTTL.Duration != notWritten:
		case t.ProxyCache:
			t.TagTTL.Duration = proxyCacheTagTTL
		default:
			t.TagTTL = c.Upstreams[upstream].TagTTL
		}
		c.Routes[name] = t
	}
}

// imply adds the route by which clients pull from u by its own name.
func (c *Config) imply(r *report, u Upstream) {
	if u.URL.URL == nil || !isUpstreamName(u.Name) {
		return // which is reported
	}
	name := u.URL.registry()
	if registryName(name) != nil {
		where := "write"
		if r.flags != nil {
			where = "in a file given with --config write"
		}
		r.problem(join("upstreams", u.Name, "url"), "has a host that cannot be the name of a registry in an image reference, and no other name leads here",
			where+" one that can, such as routes: {registry.example.com: {to: "+u.Name+", repositories: [\"**\"]}}")
		return
	}
	if c.Routes == nil {
		c.Routes = map[string]Route{}
	}
	c.Routes[name] = Route{To: u.Name, TagTTL: Duration{notWritten}, Repositories: []string{"**"}}
}
