package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"breakwater/blobcache/fill"
	"breakwater/blobcache/index"
	"breakwater/proxy/registry"

	"github.com/opencontainers/go-digest"
)

// Content is global, permission is per repository. A link (repository, kind,
// digest) says that upstream itself gave this very pair, and nothing else opens
// held content: whoever may push can list another project's digests in a manifest,
// and Harbor takes it.

// pair is what a link is about.
type pair struct {
	repo   index.Repository
	kind   index.Kind
	digest digest.Digest
}

func (pr pair) String() string { return fmt.Sprintf("%s@%s/%d", pr.repo.Name, pr.digest, pr.kind) }

func (pr pair) request() registry.Request {
	kind := registry.KindBlob
	if pr.kind == index.Manifest {
		kind = registry.KindManifest
	}
	return registry.Request{Kind: kind, Method: http.MethodGet, Name: pr.repo.Name, Digest: pr.digest}
}

// linked returns the link of a pair that may be served.
func (o *origin) linked(pr pair) (index.Link, bool) {
	link, ok := o.index.Link(pr.repo, pr.kind, pr.digest)
	return link, ok && !link.Suspended
}

// errRevoked is for a proof that a revocation has overtaken.
var errRevoked = errors.New("the access to the repository was revoked meanwhile")

// putLink writes what upstream granted, unless it was asked before a revocation.
func (o *origin) putLink(pr pair, epoch index.Epoch, link index.Link) bool {
	before, known := o.index.Link(pr.repo, pr.kind, pr.digest)
	if !o.index.PutLink(pr.repo, epoch, pr.kind, pr.digest, link) {
		return false
	}
	o.granted(pr.repo)
	if known && before.Suspended {
		o.tellDenial(suspicionOf(pr), DenialLifted)
	}
	return true
}

// newlyLinked is for a manifest that is held, and that a repository did not have until
// now.
func (o *origin) newlyLinked(ctx context.Context, pr pair) {
	if body, held := o.cache.Document(ctx, pr.digest); held {
		o.became(pr.repo, body)
	}
}

// proof is what upstream said of a pair.
type proof struct {
	asked
	link index.Link
}

// noted remembers a refusal of a pair for a moment, and returns it.
func (o *origin) noted(pr pair, err error) error {
	if byAnswer(err) {
		o.refused.put(pr.String(), &remembered{err}, negativeLife)
	}
	return err
}

// prove asks upstream for the very pair, without its content, for all who wait for
// the answer.
func (o *origin) prove(ctx context.Context, pr pair) (proof, error) {
	if no, ok := o.refused.get(pr.String()); ok {
		return proof{}, no
	}
	found, err := together(ctx, o.proofs, o.via(ctx), pr, func(ctx context.Context) (proof, error) {
		if link, ok := o.linked(pr); ok && link.Size >= 0 {
			return proof{link: link}, nil // another flight has just landed
		}
		limited, cancel := budgeted(ctx)
		defer cancel()
		return o.proveNow(limited, pr)
	})
	return found, whyOf(ctx, err)
}

func (o *origin) proveNow(ctx context.Context, pr pair) (proof, error) {
	epoch := o.index.Epoch(pr.repo)
	request := pr.request()
	method := http.MethodHead
	if pr.kind == index.Manifest && o.settings(pr.repo).ProxyCache {
		method = http.MethodGet // see linkOf
	}
	resp, did, err := o.ask(ctx, method, request)
	if err == nil && did.method == http.MethodHead && o.cache.Held(pr.digest) && secondhand(resp) {
		_ = resp.Body.Close()
		resp, did, err = o.ask(ctx, http.MethodGet, request)
	}
	if !errors.Is(context.Cause(ctx), context.Canceled) { // else everybody left
		o.Events.LinkProven(o.Upstream.Name(), provenResult(err))
	}
	if err != nil {
		return proof{asked: did}, o.noted(pr, err)
	}
	defer func() { _ = resp.Body.Close() }() // read, or of no use
	link, shown, err := o.linkOf(pr, request, resp, did)
	if shown && !o.putLink(pr, epoch, link) {
		err = o.unavailable(0).Because(errRevoked)
	}
	if shown && err == nil && pr.kind == index.Manifest {
		o.background.later(func(ctx context.Context) { o.newlyLinked(ctx, pr) })
	}
	return proof{did, link}, err
}

// linkOf reads what upstream's 2xx says of a pair, and tells whether that shows the
// pair to be there. The answer to a GET in place of a HEAD comes from a proxy-cache
// project, which hands on what the registry behind it says, or from a Breakwater that has
// not seen the content itself: who names a digest has not shown its content.
func (o *origin) linkOf(pr pair, request registry.Request, resp *http.Response, did asked) (link index.Link, shown bool, err error) {
	link = index.Link{Size: resp.ContentLength}
	size, held := o.cache.Size(pr.digest)
	if held && link.Size >= 0 && link.Size != size {
		return link, false, o.badAnswer(request, resp, "%d bytes for content of %d", link.Size, size)
	}
	if pr.kind == index.Manifest {
		mediaType, ok := registry.ManifestType(resp.Header.Get("Content-Type"))
		if !ok {
			return link, false, o.badAnswer(request, resp, "a manifest of the type %.60q", mediaType)
		}
		link.MediaType = mediaType
		size = max(size, maxManifest)
	}
	switch {
	case did.method == http.MethodHead:
		return link, !secondhand(resp), nil
	case pr.kind == index.Blob && !held:
		return link, false, nil // dropped at its headers: they are an answer, and open nothing
	}
	verifier := pr.digest.Verifier()
	if _, err := io.Copy(verifier, io.LimitReader(resp.Body, size+1)); err != nil {
		return link, false, o.unavailable(0).Because(err)
	}
	if !verifier.Verified() {
		o.Events.DigestMismatch(o.Upstream.Name(), request.Kind.String())
		return link, false, o.badAnswer(request, resp, "%w", &fill.MismatchError{Want: pr.digest})
	}
	return link, true, nil
}

// provenResult is the word for metrics.
func provenResult(err error) string {
	switch {
	case err == nil:
		return "proven"
	case denialOf(err) != notDenied:
		return "refused"
	}
	return "unavailable"
}

// whyOf gives the reason why a wait ended, where that was not the work's own end.
func whyOf(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
