package index

import (
	"cmp"
	"iter"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
)

// A Target is what a link is for.
type Target struct {
	Kind   Kind
	Digest digest.Digest
}

// Repositories returns those of which anything is known, sorted.
func (x *Index) Repositories() []Repository {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.SortedFunc(maps.Keys(x.state.repositories), Repository.compare)
}

func (r Repository) compare(other Repository) int {
	return cmp.Or(cmp.Compare(r.Origin, other.Origin), cmp.Compare(r.Name, other.Name))
}

// Links yields a repository's links as they are now, in no order.
func (x *Index) Links(r Repository) iter.Seq2[Target, Link] {
	return func(yield func(Target, Link) bool) {
		for lk, l := range x.linksOf(r) {
			if !yield(Target{lk.kind(), lk.key().digest()}, l.link()) {
				return
			}
		}
	}
}

func (x *Index) linksOf(r Repository) map[linkKey]link {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if known := x.state.repositories[r]; known != nil {
		return maps.Clone(known.links)
	}
	return nil
}

// Tags yields a repository's tags as they are now, in no order.
func (x *Index) Tags(r Repository) iter.Seq2[string, Tag] {
	return func(yield func(string, Tag) bool) {
		for name, t := range x.tagsOf(r) {
			if !yield(name, t.tag()) {
				return
			}
		}
	}
}

func (x *Index) tagsOf(r Repository) map[string]tag {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if known := x.state.repositories[r]; known != nil {
		return maps.Clone(known.tags)
	}
	return nil
}

// LinksOf returns the repositories that have a link, of either kind, to a digest,
// sorted.
func (x *Index) LinksOf(d digest.Digest) []Repository {
	k, ok := keyOf(d)
	if !ok {
		return nil
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	var linked []Repository
	for name, r := range x.state.repositories {
		_, manifest := r.links[Manifest.of(k)]
		_, blob := r.links[Blob.of(k)]
		if manifest || blob {
			linked = append(linked, name)
		}
	}
	slices.SortFunc(linked, Repository.compare)
	return linked
}
