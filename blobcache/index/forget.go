package index

import (
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Forget drops a repository's links and tags; its epoch goes on. It returns when
// that is durable.
func (x *Index) Forget(r Repository) error { return x.deny(denial{operation: forget, repository: r}) }

// ForgetDigest drops a digest's links in all repositories, and the tags that name
// it. It returns when that is durable.
func (x *Index) ForgetDigest(d digest.Digest) error {
	return x.denyDigest(denial{operation: forgetDigest}, d)
}

// unproven is how long a link or tag whose digest is not held is kept.
const unproven = time.Hour

// Sweep drops links and tags that are of no use: their digest is not held, and
// upstream has not confirmed them for an hour. Then it drops the repositories of
// which nothing is left. Its caller calls it every hour; held is called without
// any lock.
func (x *Index) Sweep(held func(digest.Digest) bool) {
	before := time.Now().Add(-unproven)
	for _, r := range x.snapshot() {
		links, tags := x.idle(r, before)
		links = slices.DeleteFunc(links, func(l idleLink) bool { return held(l.linkKey.key().digest()) })
		tags = slices.DeleteFunc(tags, func(t idleTag) bool { return held(t.digest.digest()) })
		x.dropIdle(r, links, tags)
	}
	x.wake()
}

// An idleLink or idleTag is one that may be dropped if it is still as it was.
type (
	idleLink struct {
		linkKey
		link
	}
	idleTag struct {
		name string
		tag
	}
)

// snapshot returns all repositories that are known.
func (x *Index) snapshot() []*repository {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Collect(maps.Values(x.state.repositories))
}

// idle returns the links and tags that were not confirmed since.
func (x *Index) idle(r *repository, since time.Time) (links []idleLink, tags []idleTag) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for lk, l := range r.links {
		if int64(l.proven) < since.Unix() {
			links = append(links, idleLink{lk, l})
		}
	}
	for name, t := range r.tags {
		if t.checked < since.UnixNano() {
			tags = append(tags, idleTag{name, t})
		}
	}
	return links, tags
}

// dropIdle drops those that are still as they were, and the repository when that
// was all.
func (x *Index) dropIdle(r *repository, links []idleLink, tags []idleTag) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return
	}
	for _, idle := range links {
		if r.links[idle.linkKey] == idle.link {
			x.state.deleteLink(r, idle.linkKey)
		}
	}
	for _, idle := range tags {
		if r.tags[idle.name] == idle.tag {
			x.state.deleteTag(r, idle.name)
		}
	}
	if len(r.links)+len(r.tags) == 0 {
		x.state.drop(r)
	}
}
