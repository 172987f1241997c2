package proxy

import (
	"context"
	"strings"

	"breakwater/blobcache/index"
)

// manifest is the top of what a pull takes, with what it lists. Of an index that is the
// manifest of each platform, with what that lists in turn.
func (l looking) manifest(ctx context.Context, top child) (Object, error) {
	o := l.object(top)
	for _, c := range l.lists(top) {
		under := l.object(c)
		switch {
		case c.kind == index.Blob:
		case len(o.Children) == mostPlatforms:
			o.More++
			continue
		case ctx.Err() != nil:
			return Object{}, context.Cause(ctx)
		default:
			for _, blob := range l.lists(c) {
				under.Children = append(under.Children, l.object(blob))
			}
		}
		o.Children = append(o.Children, under)
	}
	return o, nil
}

// lists is what a manifest lists, where that is held.
func (l looking) lists(manifest child) []child {
	body, held := l.cache.Peek(manifest.digest)
	if !held {
		return nil
	}
	return children(body)
}

// object is where a manifest or a blob is.
func (l looking) object(c child) Object {
	named := pair{l.repo, c.kind, c.digest}
	o := Object{Kind: named.request().Kind.String(), Digest: c.digest, Size: c.size}
	if c.platform != nil {
		o.Platform = strings.TrimSuffix(platformName(c.platform), "/") // of no variant
	}
	if size, held := l.cache.Size(c.digest); held {
		o.Size, o.Held = size, true
	}
	var link index.Link
	link, o.Linked = l.linked(named)
	o.MediaType = link.MediaType
	o.Suspected = l.suspicions.waiting(suspicion{repo: l.repo, digest: c.digest})
	if no, ok := l.refused.peek(named.String()); ok {
		o.Refused = message(no)
	}
	arrived, size, underway := l.cache.Underway(c.digest, l.apart(l.repo))
	switch {
	case l.index.Blocked(c.digest):
		o.State = ObjectBlocked
	case o.Held && o.Linked:
		o.State, o.Refused = ObjectHit, ""
	case link.Suspended:
		o.State = ObjectSuspended
	case o.Held:
		o.State = ObjectUnlinked
	case underway:
		o.State, o.Arrived, o.Size = ObjectFilling, arrived, max(size, c.size)
	default:
		o.State = ObjectMiss
	}
	return o
}
