package config

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	minCache         = 64 * MiB // a single layer is often larger than anything less
	minMemory        = MiB
	maxLockWait      = 10 * time.Minute
	maxShutdownGrace = time.Hour // an orchestrator kills long before
	maxUpstreams     = 64        // each has connections of its own
	maxListeners     = 64        // each is compared with each
)

// validate reports what is wrong with the values of c, whoever wrote them.
func (c Config) validate(r *report) {
	c.Cache.validate(r)
	c.validateUpstreams(r)
	c.validateRoutes(r)
	c.validateListeners(r)
	c.Log.validate(r)
	within(r, "shutdown_grace", c.ShutdownGrace, 0, maxShutdownGrace)
}

func (c Config) validateUpstreams(r *report) {
	switch count := len(c.Upstreams); {
	case count == 0:
		r.missing("", "upstreams", "is missing: there is nothing to serve", "write upstreams: {harbor: {url: https://harbor.example.com}}")
	case count > maxUpstreams:
		r.problem("upstreams", fmt.Sprintf("has %d entries", count), fmt.Sprintf("keep at most %d", maxUpstreams))
		return
	}
	origins := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Upstreams)) {
		u, at := c.Upstreams[name], join("upstreams", name)
		if !isUpstreamName(name) {
			r.problem(at, "is not a name for an upstream", "write 1 to 63 lower-case letters, digits and hyphens, such as harbor")
		}
		u.validate(r, at)
		if u.URL.URL == nil {
			continue
		}
		if first, twice := origins[u.URL.origin()]; twice {
			r.problem(at+".url", "is that of "+join("upstreams", first)+" too, and what is held is known by where it came from", "keep one of the two, and lead the routes of both there")
		}
		origins[u.URL.origin()] = name
		c.validateLoop(r, at+".url", u.URL)
	}
}

// validateLoop refuses an upstream that is Breakwater itself.
func (c Config) validateLoop(r *report, path string, u URL) {
	own := map[string]Address{"admin.address": c.Admin.Address}
	for i, l := range c.Listeners {
		own[fmt.Sprintf("listeners[%d].address", i)] = l.Address
	}
	for _, at := range slices.Sorted(maps.Keys(own)) {
		if u.reaches(own[at]) {
			r.problem(path, "is "+r.name(at)+" of this very Breakwater, which would ask itself", "write the address of the registry behind it, or choose another port for "+r.name(at))
		}
	}
}

// isUpstreamName keeps a name fit for paths, routes and labels of metrics.
func isUpstreamName(name string) bool {
	odd := func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' }
	return name != "" && len(name) <= 63 && !strings.ContainsFunc(name, odd)
}

// validateListeners also sees to it that nothing is opened twice.
func (c Config) validateListeners(r *report) {
	if len(c.Listeners) > maxListeners {
		r.problem("listeners", fmt.Sprintf("has %d entries", len(c.Listeners)), fmt.Sprintf("keep at most %d", maxListeners))
		return
	}
	for i, l := range c.Listeners {
		at := fmt.Sprintf("listeners[%d]", i)
		path := at + ".address"
		c.validateListener(r, at, l)
		if l.Address == "" {
			r.missing(at, path, "is missing", "write one, such as 127.0.0.1:5000")
			continue
		}
		for j, earlier := range c.Listeners[:i] {
			if l.Address.clashes(earlier.Address) {
				r.problem(path, fmt.Sprintf("%s is taken by listeners[%d]", l.Address, j), "choose another port, or remove this listener")
			}
		}
		if l.Address.clashes(c.Admin.Address) {
			r.problem("admin.address", fmt.Sprintf("%s is taken by %s", c.Admin.Address, r.name(path)), "choose another port, such as 9090")
		}
	}
}

func (l Log) validate(r *report) {
	levels := []string{"debug", "info", "warn", "error"}
	if slices.Contains(levels, l.Level) {
		return
	}
	fix := "write debug, info, warn or error"
	if meant := closest(l.Level, levels); meant != "" {
		fix = fmt.Sprintf("did you mean %q?", meant)
	}
	r.problem("log.level", shown(l.Level)+" is not a level", fix)
}

// absolute is what is wrong with path, if it is given at all. A relative path
// would depend on where Breakwater was started; and what does not begin with a
// slash may be the secret itself, so it is not shown.
func absolute(path string) *mistake {
	if path == "" || filepath.IsAbs(path) {
		return nil
	}
	return &mistake{"is not an absolute path", "write the path of the file or folder, from / on"}
}
