package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// proxyCacheTagTTL is the usual TagTTL of a proxy-cache project: there each
// question about a tag makes Harbor ask its own source.
const proxyCacheTagTTL = 15 * time.Minute

// notWritten is a TagTTL that follows from other values. It is out of every
// range.
const notWritten = -Forever

// DefaultUpstream is what holds in an upstream where an operator wrote nothing.
// It has no URL.
func DefaultUpstream() Upstream {
	return Upstream{
		TagTTL:        Duration{10 * time.Second},
		StaleIfError:  Period{7 * 24 * time.Hour},
		AccessTTL:     Duration{30 * time.Minute}, // the life of Harbor's tokens
		DenialConfirm: Duration{30 * time.Second},
		RecordPull:    Duration{24 * time.Hour},
		ProxySettle:   Duration{15 * time.Minute},
	}
}

// Project is what Breakwater should know of one Harbor project.
type Project struct {
	ProxyCache bool     `yaml:"proxy_cache"` // it fetches from another registry: a 404 there may be an outage
	Complete   bool     `yaml:"complete"`    // what a held image lacks is fetched unasked
	TagTTL     Duration `yaml:"tag_ttl"`     // in place of the upstream's; 15m with ProxyCache
}

// Project returns what holds for a project of u, written or not.
func (u Upstream) Project(name string) Project {
	if p, ok := u.Projects[name]; ok {
		return p
	}
	return Project{TagTTL: u.TagTTL}
}

// usual is what decoding begins with.
func (*Upstream) usual() any { return DefaultUpstream() }
func (*Project) usual() any  { return Project{TagTTL: Duration{notWritten}} }

// completeProjects fills in the TTLs that follow from other values.
func (u Upstream) completeProjects() {
	for name, p := range u.Projects {
		switch {
		case p.TagTTL.Duration != notWritten:
		case p.ProxyCache:
			p.TagTTL.Duration = proxyCacheTagTTL
		default:
			p.TagTTL = u.TagTTL
		}
		u.Projects[name] = p
	}
}

// projectName is the first component of a repository's name (OCI distribution
// spec, "Pulling manifests"): that is what Harbor takes for the project.
var projectName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)

// validateFreshness reports what is out of range, and what is no project.
func (u Upstream) validateFreshness(r *report, at string) {
	within(r, at+".tag_ttl", u.TagTTL, 0, 24*time.Hour)
	if u.StaleIfError.Duration < 0 {
		r.problem(at+".stale_if_error", u.StaleIfError.String()+" is out of range", "write a duration such as 168h, or forever")
	}
	within(r, at+".access_ttl", u.AccessTTL, time.Minute, 24*time.Hour)
	within(r, at+".denial_confirm", u.DenialConfirm, time.Second, time.Hour)
	if d := u.RecordPull.Duration; d != 0 && d < time.Hour {
		r.problem(at+".record_pull", u.RecordPull.String()+" is out of range", "write 0s for never, or 1h or more")
	}
	within(r, at+".proxy_settle", u.ProxySettle, 0, 24*time.Hour)
	for _, name := range slices.Sorted(maps.Keys(u.Projects)) {
		project := join(at+".projects", name)
		if first, _, path := strings.Cut(name, "/"); path && projectName.MatchString(first) {
			r.problem(project, "is a repository, and only whole projects are known apart", "write "+first)
		} else if len(name) > 255 || !projectName.MatchString(name) {
			r.problem(project, "is not the name of a project", "write it as Harbor does, such as hub-proxy")
		}
		within(r, project+".tag_ttl", u.Projects[name].TagTTL, 0, 24*time.Hour)
	}
}

// within reports a duration that is not from least to most.
func within(r *report, path string, d Duration, least, most time.Duration) {
	if d.Duration < least || d.Duration > most {
		r.problem(path, d.String()+" is out of range", fmt.Sprintf("write a duration from %s to %s", Duration{least}, Duration{most}))
	}
}
