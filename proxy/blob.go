package proxy

import (
	"net/http"

	"breakwater/blobcache/index"
)

// blob answers end-2. Type and digest are ours to say: upstream's storage knows
// neither, and a proxy-cache project guesses the type from the content.
func (x *exchange) blob() error {
	wanted := pair{x.repository(), index.Blob, x.request.Digest}
	if x.index.Blocked(wanted.digest) {
		return x.blocked(wanted.digest)
	}
	_, ok := x.linked(wanted)
	if !ok && x.cache.Held(wanted.digest) {
		proven, err := x.prove(x.ctx, wanted)
		x.note(proven.asked)
		if err != nil {
			return err
		}
		if _, ok = x.linked(wanted); ok {
			x.found.become(cacheValidated)
		}
	}
	if ok {
		if held, open := x.cache.Open(x.ctx, wanted.digest); open {
			defer func() { _ = held.Close() }() // of what was read
			x.found.become(cacheHit)
			x.checkAccess(wanted)
			x.blobHeader()
			return x.serve(held)
		}
	}
	if x.r.Method == http.MethodHead || x.matches(etag(wanted.digest)) {
		proven, err := x.prove(x.ctx, wanted)
		x.note(proven.asked)
		if err != nil {
			return err
		}
		x.found.become(cacheMiss)
		x.blobHeader()
		return x.serve(known(proven.link.Size))
	}
	return x.join(wanted)
}

// join reads the blob while it comes.
func (x *exchange) join(wanted pair) error {
	if no, ok := x.refused.get(wanted.String()); ok {
		return no
	}
	from := x.source(x.ctx, wanted)
	blob, how, err := x.cache.Join(x.ctx, wanted.digest, from)
	if circular(err) && from.first().method == "" { // the way of whoever began it
		from = x.source(x.ctx, wanted)
		from.way = way(from.via)
		blob, how, err = x.cache.Join(x.ctx, wanted.digest, from)
	}
	x.note(from.first())
	x.found.how = string(how)
	if err != nil {
		return whyOf(x.ctx, err)
	}
	defer func() { _ = blob.Close() }() // the fill's owner hears of its failures
	x.blobHeader()
	return x.serve(blob)
}

func (x *exchange) blobHeader() {
	h := x.w.Header()
	content(h, x.request.Digest, "application/octet-stream")
	x.cacheStatus(h)
}
