package proxy

import (
	"strings"
	"time"

	"breakwater/blobcache/index"
)

// Forever is the Policy.StaleIfError that has no end.
const Forever = time.Duration(1<<63 - 1)

// Policy says how long what is known may be relied on.
type Policy struct {
	// TagTTL is how long a tag stays what it was found to be without asking.
	TagTTL time.Duration
	// StaleIfError is how long a tag is served while upstream cannot be asked, from
	// when it was last confirmed.
	StaleIfError time.Duration
	// AccessTTL is how old the proof may be that our account may pull from a
	// repository, before it is asked for anew on a hit.
	AccessTTL time.Duration
	// DenialConfirm is how long after a refusal it is asked again, with a new token,
	// before it is believed.
	DenialConfirm time.Duration
	// RecordPull is how often upstream is told that a manifest is in use; 0: never.
	RecordPull time.Duration
	// ProxySettle is how long a proxy-cache project must name an index with fewer
	// platforms before that replaces the one that is held.
	ProxySettle time.Duration
	// Projects are exceptions by Harbor project, the first part of a name.
	Projects map[string]Project
}

// within tells whether a time is no longer ago than that. One that is still to come
// was noted before the clock was set back, and tells nothing.
func within(then time.Time, ttl time.Duration) bool {
	age := time.Since(then)
	return age >= 0 && age < ttl
}

// Project is what is known of one Harbor project.
type Project struct {
	ProxyCache bool          // it caches another registry: a 404 there may be an outage
	Complete   bool          // what manifests list is fetched before it is asked for
	TagTTL     time.Duration // in place of Policy.TagTTL
}

// project returns what holds for a repository.
func (p *Proxy) project(repo index.Repository) Project {
	name, _, _ := strings.Cut(repo.Name, "/")
	if project, ok := p.Policy.Projects[name]; ok {
		return project
	}
	return Project{TagTTL: p.Policy.TagTTL}
}
