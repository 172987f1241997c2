package proxy

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"breakwater/blobcache/index"
	"breakwater/proxy/registry"
)

// stalePatience is how long a client waits for upstream's word on a tag that can be
// served as it was known last.
const stalePatience = 3 * time.Second

// The results of a tag check, as [Events] are told them.
const (
	TagSame        = "same"        // it is what it was
	TagMoved       = "moved"       // it names another manifest now
	TagNew         = "new"         // nothing was known of it
	TagSettling    = "settling"    // it names a poorer index, which must last a while to be believed
	TagRefused     = "refused"     // upstream refuses it
	TagUnavailable = "unavailable" // upstream cannot be asked
)

// tagKey names a tag of a repository.
type tagKey struct {
	repo index.Repository
	tag  string
}

func (k tagKey) String() string { return k.repo.Name + ":" + k.tag }

func (k tagKey) request(method string) registry.Request {
	return registry.Request{Kind: registry.KindManifest, Method: method, Name: k.repo.Name, Tag: k.tag}
}

// checked is what a check found.
type checked struct {
	asked
	tag index.Tag
}

// tag finds what a tag is now: from its record while that is fresh, else by one
// question upstream for all who wait, else, while upstream cannot answer, from the
// record as it is.
func (x *exchange) tag(key tagKey) (index.Tag, error) {
	held, known := x.index.Tag(key.repo, key.tag)
	known = known && !held.Suspended
	if known && x.fresh(key, held) {
		x.found = found{how: cacheHit, age: time.Since(held.Checked)}
		return held, nil
	}
	if no, ok := x.refused.get(key.String()); ok {
		if known && x.servesStale(key, held) {
			return x.stale(held, no), nil
		}
		if !known {
			return index.Tag{}, no
		}
	}
	var (
		now checked
		err error
	)
	if known && x.servesStale(key, held) && x.cache.Held(held.Digest) {
		now, err = x.checkWithin(key, stalePatience)
	} else {
		now, err = together(x.ctx, x.checks, x.via(x.ctx), key, x.check(key))
		err = whyOf(x.ctx, err)
	}
	x.note(now.asked)
	switch {
	case err == nil:
		x.found = found{how: cacheValidated, age: time.Since(now.tag.Checked)}
		if !known {
			x.found.how = cacheMiss
		}
		return now.tag, nil
	case known && !x.suspended(key) && x.servesStale(key, held):
		return x.stale(held, err), nil
	}
	return index.Tag{}, err
}

// checkWithin waits for a check for a while, and leaves it to itself after that.
func (x *exchange) checkWithin(key tagKey, patience time.Duration) (checked, error) {
	type result struct {
		checked
		err error
	}
	done, via := make(chan result, 1), x.via(x.ctx)
	if !x.life.Start(func() {
		now, err := together(x.life.Context(), x.checks, via, key, x.check(key))
		done <- result{now, err}
	}) {
		return checked{}, errLate
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.checked, r.err
	case <-timer.C:
		return checked{}, errors.New("upstream takes longer than " + patience.String() + " to say what the tag is now")
	case <-x.ctx.Done():
		return checked{}, context.Cause(x.ctx)
	}
}

// suspended tells whether a check just ended in a suspension.
func (x *exchange) suspended(key tagKey) bool {
	now, known := x.index.Tag(key.repo, key.tag)
	return !known || now.Suspended
}

// fresh tells whether a record, which is not suspended, is served without a question.
func (o *origin) fresh(key tagKey, held index.Tag) bool {
	return within(held.Checked, o.settings(key.repo).TagTTL)
}

// servesStale tells whether a record may be served although upstream does not
// confirm it. What belongs to signatures changes without notice, and its absence
// says something: that is never served stale.
func (o *origin) servesStale(key tagKey, held index.Tag) bool {
	return !referrersTag(key.tag) && (o.Policy.StaleIfError == Forever || within(held.Checked, o.Policy.StaleIfError))
}

// referrersTag recognises the tags of the referrers fallback (distribution spec,
// "Referrers Tag Schema").
func referrersTag(tag string) bool {
	return strings.HasPrefix(tag, "sha256-") || strings.HasPrefix(tag, "sha512-")
}

func (x *exchange) stale(held index.Tag, why error) index.Tag {
	age := time.Since(held.Checked)
	x.found = found{how: cacheStale, age: age, why: why}
	x.Events.StaleServed(x.Upstream.Name(), x.request.Kind.String(), age)
	return held
}

// check is the work of a flight: one HEAD, what follows from it, and the record.
func (o *origin) check(key tagKey) func(context.Context) (checked, error) {
	return func(ctx context.Context) (checked, error) {
		held, known := o.index.Tag(key.repo, key.tag)
		if known && !held.Suspended && o.fresh(key, held) {
			return checked{tag: held}, nil // somebody else's flight has just landed
		}
		limited, cancel := budgeted(ctx)
		defer cancel()
		now, result, err := o.checkNow(limited, key, held, known)
		if ctx.Err() != nil {
			return now, err // everybody left, which says nothing
		}
		if err != nil {
			result = o.tagRefused(key, held, known, err)
		}
		o.Events.TagChecked(o.Upstream.Name(), result)
		return now, err
	}
}

// tagRefused remembers a check that failed, for a moment, and draws the
// consequences where the tag is held.
func (o *origin) tagRefused(key tagKey, held index.Tag, known bool, err error) (result string) {
	no := denialOf(err)
	if circular(err) {
		return TagUnavailable // to whoever came this way
	}
	if known && !held.Suspended {
		if !o.deniedHeld(suspicion{repo: key.repo, tag: key.tag}, err) {
			o.refused.put(key.String(), &remembered{err}, max(negativeLife, o.settings(key.repo).TagTTL))
		}
	} else if byAnswer(err) {
		o.refused.put(key.String(), &remembered{err}, negativeLife)
	}
	if no == notDenied {
		return TagUnavailable
	}
	return TagRefused
}

// checkNow asks what the tag is, and decides what it is for us.
func (o *origin) checkNow(ctx context.Context, key tagKey, held index.Tag, known bool) (checked, string, error) {
	epoch := o.index.Epoch(key.repo)
	now, did, err := o.askTag(ctx, key, epoch)
	if err != nil {
		return checked{asked: did}, "", err
	}
	result := TagNew
	switch {
	case known && held.Digest == now.Digest:
		result = TagSame
	case known && !held.Suspended && o.cache.Held(held.Digest):
		// The tag moves once what it names is here.
		result = TagMoved
		body, err := o.document(ctx, pair{key.repo, index.Manifest, now.Digest})
		if err != nil {
			return checked{asked: did}, "", err
		}
		if !o.settled(ctx, key, held, &now, body) {
			result = TagSettling
		}
	}
	if o.index.PutTag(key.repo, epoch, key.tag, now) {
		o.refused.forget(key.String())
		if known && held.Suspended {
			o.tellDenial(suspicion{repo: key.repo, tag: key.tag}, DenialLifted)
		}
	}
	return checked{did, now}, result, nil
}

// askTag asks by HEAD, which leaves no pull behind, and by GET where a HEAD tells
// too little.
func (o *origin) askTag(ctx context.Context, key tagKey, epoch index.Epoch) (index.Tag, asked, error) {
	request := key.request(http.MethodHead)
	resp, did, err := o.ask(ctx, http.MethodHead, request)
	if err != nil {
		return index.Tag{}, did, err
	}
	defer func() { _ = resp.Body.Close() }()
	mediaType, ok := registry.ManifestType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || !ok {
		return index.Tag{}, did, o.badAnswer(request, resp, "a manifest of the type %.60q", mediaType)
	}
	now := index.Tag{MediaType: mediaType, Size: resp.ContentLength, Checked: time.Now().Add(-ageOf(resp))}
	promised := resp.Header.Get("Docker-Content-Digest")
	if did.method == http.MethodGet {
		body, err := o.readManifest(ctx, request, resp, promised)
		if err != nil {
			return index.Tag{}, did, err
		}
		now.Digest, now.Size = body.digest, int64(len(body.bytes))
		o.keep(pair{key.repo, index.Manifest, body.digest}, epoch, body, now.Checked)
	} else if now.Digest, ok = registry.ParseDigest(promised); !ok {
		return index.Tag{}, did, o.badAnswer(request, resp, "%.80q as a digest", promised)
	}
	return now, did, nil
}

// settled tells whether a tag's new manifest takes the place of the old one. Harbor
// answers with a trimmed index for a while after its proxy-cache project's own
// upstream went away: one that lacks platforms must last. Where it does not yet,
// the record keeps the old manifest.
func (o *origin) settled(ctx context.Context, key tagKey, held index.Tag, now *index.Tag, body manifest) bool {
	if !o.settings(key.repo).ProxyCache {
		return true
	}
	old, ok := o.cache.Document(ctx, held.Digest)
	if !ok || !poorer(old, body.bytes) {
		return true
	}
	since := now.Checked
	if held.Next == now.Digest {
		since = held.NextSince
	}
	if now.Checked.Sub(since) >= o.Policy.ProxySettle {
		return true
	}
	keep := held
	keep.Checked, keep.Next, keep.NextSince = now.Checked, now.Digest, since
	*now = keep
	return false
}
