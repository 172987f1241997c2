package proxy

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"breakwater/blobcache"
	"breakwater/blobcache/fill"
	"breakwater/blobcache/index"
	"breakwater/proxy/registry"

	"github.com/opencontainers/go-digest"
)

// maxManifest is the size in bytes beyond which a manifest is refused.
const maxManifest = blobcache.MaxDocument

// manifest answers end-3. GET and HEAD agree in type, length and digest, by tag and
// by digest.
func (x *exchange) manifest() error {
	named := pair{x.repository(), index.Manifest, x.request.Digest}
	var size int64 = -1
	mediaType := ""
	if x.request.Tag != "" {
		tag, err := x.tag(tagKey{named.repo, x.request.Tag})
		if err != nil {
			return err
		}
		named.digest, mediaType, size = tag.Digest, tag.MediaType, tag.Size
	} else {
		x.askedFor(named.digest)
	}
	if x.index.Blocked(named.digest) {
		return x.blocked(named.digest)
	}
	link, body, err := x.manifestOf(named)
	switch {
	case err != nil:
		return err
	case body != nil:
		mediaType, size = link.MediaType, int64(len(body))
	case mediaType == "":
		mediaType, size = link.MediaType, link.Size
	}
	if !registry.Accepts(x.r.Header.Values("Accept"), mediaType) {
		return registry.Errorf(http.StatusNotFound, registry.CodeManifestUnknown,
			"this manifest is of the type %s, which the Accept header does not list", mediaType)
	}
	h := x.w.Header()
	content(h, named.digest, mediaType)
	h.Set("Vary", "Accept")
	x.cacheStatus(h)
	if body == nil {
		return x.serve(known(size))
	}
	done, err := x.share(x.ctx, named.digest, int64(len(body)))
	if err != nil {
		return err
	}
	defer done()
	return x.serve(blobcache.Bytes(body))
}

// manifestOf finds the manifest: what is linked, and its bytes unless only a HEAD
// was asked for and they are not here.
func (x *exchange) manifestOf(named pair) (index.Link, []byte, error) {
	link, ok := x.linked(named)
	if !ok && x.cache.Held(named.digest) {
		proven, err := x.prove(x.ctx, named)
		x.note(proven.asked)
		if err != nil {
			return index.Link{}, nil, err
		}
		if link, ok = x.linked(named); ok {
			x.found.become(cacheValidated)
		}
	}
	if ok {
		if body, held := x.cache.Document(x.ctx, named.digest); held {
			x.found.become(cacheHit)
			x.hitManifest(named, link, body)
			return link, body, nil
		}
	}
	if x.r.Method == http.MethodHead {
		if x.request.Tag != "" {
			x.found.become(cacheMiss)
			return index.Link{}, nil, nil // the tag's record says it all
		}
		proven, err := x.prove(x.ctx, named)
		x.note(proven.asked)
		x.found.become(cacheMiss)
		return proven.link, nil, err
	}
	got, err := x.fetch(x.ctx, named)
	x.note(got.asked)
	x.found.how = cacheMiss
	return index.Link{MediaType: got.mediaType}, got.bytes, err
}

// hitManifest is what follows from a pull that upstream did not see.
func (x *exchange) hitManifest(named pair, link index.Link, body []byte) {
	x.checkAccess(named)
	if x.r.Method == http.MethodGet {
		x.report(named, link)
	}
	x.touch(named, body)
}

// manifest is one that was verified.
type manifest struct {
	digest    digest.Digest
	mediaType string
	bytes     []byte
}

// fetched is a manifest that came from upstream.
type fetched struct {
	asked
	manifest
}

// document is fetch for those who ask nothing more.
func (o *origin) document(ctx context.Context, named pair) (manifest, error) {
	got, err := o.fetch(ctx, named)
	return got.manifest, err
}

// fetch gets a manifest by its digest from upstream, once for all who wait, and
// keeps it. Nobody is given a missing one's second question within seconds.
func (o *origin) fetch(ctx context.Context, named pair) (fetched, error) {
	if no, ok := o.refused.get(named.String()); ok {
		return fetched{}, no
	}
	got, err := together(ctx, o.fetches, o.via(ctx), named, func(ctx context.Context) (fetched, error) {
		limited, cancel := budgeted(ctx)
		defer cancel()
		if link, ok := o.linked(named); ok { // another flight has just landed
			if body, held := o.cache.Document(ctx, named.digest); held {
				return fetched{manifest: manifest{named.digest, link.MediaType, body}}, nil
			}
		}
		got, err := o.fetchNow(limited, named)
		return got, o.noted(named, err)
	})
	return got, whyOf(ctx, err)
}

func (o *origin) fetchNow(ctx context.Context, named pair) (fetched, error) {
	epoch := o.index.Epoch(named.repo)
	request := named.request()
	resp, did, err := o.ask(ctx, http.MethodGet, request)
	if err != nil {
		return fetched{asked: did}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := o.readManifest(ctx, request, resp, named.digest.String())
	if err != nil {
		return fetched{asked: did}, err
	}
	o.keep(named, epoch, body, time.Now())
	return fetched{did, body}, nil
}

// keep links a manifest and then holds it: in the other order others would find it
// held without a link for a moment, and ask for one.
func (o *origin) keep(named pair, epoch index.Epoch, body manifest, now time.Time) {
	o.putLink(named, epoch, index.Link{MediaType: body.mediaType, Size: int64(len(body.bytes)), Reported: now})
	o.cache.Keep(named.digest, body.bytes)
	o.background.later(func(ctx context.Context) { o.newlyLinked(ctx, named) })
}

// readManifest reads and verifies a manifest. A proxy-cache project promises no
// digest at first: its header is there, and empty.
func (o *origin) readManifest(ctx context.Context, request registry.Request, resp *http.Response, promised string) (manifest, error) {
	mediaType, ok := registry.ManifestType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || !ok {
		return manifest{}, o.badAnswer(request, resp, "a manifest of the type %.60q", mediaType)
	}
	body, release, err := o.readDocument(ctx, resp, maxManifest)
	if err != nil {
		return manifest{}, err
	}
	defer release()
	o.Events.Fetched(o.Upstream.Name(), request.Kind.String(), int64(len(body)))
	var says struct {
		MediaType string `json:"mediaType"`
	}
	if err := json.Unmarshal(body, &says); err != nil {
		return manifest{}, o.badAnswer(request, resp, "a manifest that is not JSON: %w", err)
	}
	// An OCI manifest may leave mediaType out (image spec, "Image Manifest").
	if says.MediaType != "" && says.MediaType != mediaType {
		return manifest{}, o.badAnswer(request, resp, "the type %.80q for a manifest that calls itself %.80q", mediaType, says.MediaType)
	}
	want := digest.FromBytes(body)
	if promised != "" {
		if want, ok = registry.ParseDigest(promised); !ok {
			return manifest{}, o.badAnswer(request, resp, "%.80q as a digest", promised)
		}
		if want.Algorithm().FromBytes(body) != want {
			o.Events.DigestMismatch(o.Upstream.Name(), request.Kind.String())
			return manifest{}, o.badAnswer(request, resp, "%w", &fill.MismatchError{Want: want})
		}
	}
	return manifest{want, mediaType, body}, nil
}

// blocked is the refusal of a digest that the operator does not want served.
func (x *exchange) blocked(d digest.Digest) error {
	x.found, x.asked = found{}, asked{}
	return registry.Errorf(http.StatusForbidden, registry.CodeDenied, "%s is blocked here by the operator", d)
}
