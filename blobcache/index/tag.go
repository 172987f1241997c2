package index

import (
	"time"
	"unique"

	"github.com/opencontainers/go-digest"
)

// A Tag is what a tag names, as upstream said last.
type Tag struct {
	Digest    digest.Digest
	MediaType string
	Size      int64     // bytes, -1: unknown
	Checked   time.Time // upstream confirmed it
	Suspended bool      // refusal is confirmed

	// Next is what upstream names now, where that is not taken yet: a poorer index
	// of a proxy-cache project. Empty: nothing.
	Next      digest.Digest
	NextSince time.Time
}

// Tag returns a tag of the current epoch, suspended ones too.
func (x *Index) Tag(r Repository, name string) (Tag, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	known := x.state.repositories[r]
	if known == nil {
		return Tag{}, false
	}
	t, ok := known.tags[name]
	if !ok {
		return Tag{}, false
	}
	return t.tag(), true
}

// PutTag keeps what upstream said under epoch e, suspended or not as t says. It
// returns false, and keeps nothing, where e is over, where there is no room, and
// for what cannot be a tag.
func (x *Index) PutTag(r Repository, e Epoch, name string, t Tag) bool {
	d, ok := keyOf(t.Digest)
	next, nextOK := keyOf(t.Next)
	if !ok || !nextOK && t.Next != "" || !validTag(name) || t.Size < -1 || len(t.MediaType) > longestMediaType {
		return false
	}
	kept := tag{
		digest: d, next: next, mediaType: unique.Make(t.MediaType), size: t.Size,
		checked: nanoseconds(t.Checked), nextSince: nanoseconds(t.NextSince), suspended: t.Suspended,
	}
	return x.grant(r, e, func(known *repository) bool { return x.state.putTag(known, name, kept) })
}

// SuspendTag makes a tag one that is not served; one PutTag restores it. It returns
// when that is durable.
func (x *Index) SuspendTag(r Repository, name string) error {
	return x.deny(denial{operation: suspendTag, repository: r, tag: name})
}

func (t tag) tag() Tag {
	return Tag{
		Digest: t.digest.digest(), MediaType: t.mediaType.Value(), Size: t.size,
		Checked: fromNanoseconds(t.checked), Suspended: t.suspended,
		Next: t.next.digest(), NextSince: fromNanoseconds(t.nextSince),
	}
}
