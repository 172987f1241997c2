package index

import (
	"time"
	"unique"

	"github.com/opencontainers/go-digest"
)

// A Link says that a repository may serve a digest: upstream said so for that very
// pair.
type Link struct {
	MediaType string
	Size      int64     // bytes, -1: unknown
	Reported  time.Time // last pull report
	Suspended bool      // refusal of this very pair is confirmed
}

// Link returns a link of the current epoch, suspended ones too.
func (x *Index) Link(r Repository, k Kind, d digest.Digest) (Link, bool) {
	id, ok := keyOf(d)
	if !ok {
		return Link{}, false
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	known := x.state.repositories[r]
	if known == nil {
		return Link{}, false
	}
	l, ok := known.links[k.of(id)]
	return l.link(), ok
}

// PutLink keeps what upstream said under epoch e, suspended or not as l says. A
// zero Reported leaves the known one. It returns false, and keeps nothing, where e
// is over, where there is no room, and for what cannot be a link.
func (x *Index) PutLink(r Repository, e Epoch, k Kind, d digest.Digest, l Link) bool {
	id, ok := keyOf(d)
	if !ok || !k.valid() || l.Size < -1 || len(l.MediaType) > longestMediaType {
		return false
	}
	kept := link{
		size: l.Size, reported: nanoseconds(l.Reported), mediaType: unique.Make(l.MediaType),
		proven: uint32(time.Now().Unix()), suspended: l.Suspended,
	}
	return x.grant(r, e, func(known *repository) bool {
		if kept.reported == 0 {
			kept.reported = known.links[k.of(id)].reported
		}
		return x.state.putLink(known, k.of(id), kept)
	})
}

// Report notes when the pull of a linked digest was last reported, and nothing
// else: a link that was suspended meanwhile stays so.
func (x *Index) Report(r Repository, k Kind, d digest.Digest, at time.Time) {
	id, ok := keyOf(d)
	if !ok {
		return
	}
	x.locked(func() {
		known := x.state.repositories[r]
		if known == nil || x.closed {
			return
		}
		if l, linked := known.links[k.of(id)]; linked {
			l.reported = nanoseconds(at)
			x.state.putLink(known, k.of(id), l)
		}
	})
	x.wake()
}

// SuspendLink makes a link one that is not served. It returns when that is durable.
func (x *Index) SuspendLink(r Repository, k Kind, d digest.Digest) error {
	return x.denyDigest(denial{operation: suspendLink, repository: r, kind: k}, d)
}

// grant runs put in the epoch e, and tells whether anything was kept.
func (x *Index) grant(r Repository, e Epoch, put func(*repository) bool) bool {
	x.mu.Lock()
	if x.closed || !r.valid() || x.state.epoch(r) != e {
		x.mu.Unlock()
		return false
	}
	before := x.state.discarded
	known := x.state.repository(r)
	kept := known != nil && put(known)
	first := before == 0 && x.state.discarded > 0
	x.mu.Unlock()
	if first {
		x.options.Log.Warn("index: full; new links or tags are not remembered")
	}
	if kept {
		x.wake()
	}
	return kept
}

// link is the exported form; the zero link has no media type to read.
func (l link) link() Link {
	if l == (link{}) {
		return Link{}
	}
	return Link{MediaType: l.mediaType.Value(), Size: l.size, Reported: fromNanoseconds(l.reported), Suspended: l.suspended}
}
