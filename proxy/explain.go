package proxy

import (
	"context"
	"time"

	"breakwater/blobcache/index"
	"breakwater/proxy/registry"
	"breakwater/tokencache"
)

// mostPlatforms bounds how many manifests of an index are looked into.
const mostPlatforms = 64

// Explain tells how a client's pull of an image would go now. The request is that for
// its manifest, and usual the default of the listener that gets it. Explain goes the
// road of the package's doc with eyes alone: it asks nothing of upstream, and changes
// nothing, not even what counts as used. Its error is ctx's.
func (p *Proxy) Explain(ctx context.Context, request registry.Request, usual string) (Explanation, error) {
	e := Explanation{At: time.Now()}
	match, err := p.Routes.Find(request, usual)
	if err != nil {
		e.Route.Refused = message(err)
		for _, r := range p.Routes.Routes() {
			e.Route.Open = append(e.Route.Open, r.Name)
		}
		return e, nil
	}
	o := p.origins[match.Route.Upstream]
	look := looking{o, index.Repository{Origin: o.key, Name: match.Request.Name}}
	e.Route = look.routed(match.Route.Name, because(request, match.Spelled))
	e.Right = look.right()
	top := child{kind: index.Manifest, digest: match.Request.Digest, size: -1}
	if match.Request.Tag != "" {
		tag, size := look.tag(match.Request.Tag)
		e.Tag, top.digest, top.size = &tag, tag.Digest, size
	}
	if top.digest != "" {
		manifest, err := look.manifest(ctx, top)
		if err != nil {
			return Explanation{}, err
		}
		e.Manifest = &manifest
	}
	e.Outlooks = outlooks(e.Right, e.Tag, e.Manifest)
	return e, nil
}

// because is why a route was taken: see [breakwater/proxy/route.Table.Find].
func because(request registry.Request, spelled string) string {
	switch {
	case request.Prefix != "" || spelled != "":
		return ByPath
	case request.NS != "":
		return ByName
	}
	return ByDefault
}

// looking is a look at one repository.
type looking struct {
	*origin
	repo index.Repository
}

func (l looking) routed(name, by string) Routed {
	settings := l.settings(l.repo)
	return Routed{
		Name: name, By: by, Upstream: l.Upstream.Name(), Origin: l.key, Repository: l.repo.Name,
		Names: l.named(l.Upstream.Name(), l.repo.Name).Names, ProxyCache: settings.ProxyCache, Complete: settings.Complete,
	}
}

// right is what our account may do there, as far as that is known.
func (l looking) right() Right {
	scope := pullScope(l.repo)
	held := l.Upstream.Held(scope)
	r := Right{
		Scope: scope.String(), Grant: grantOf(held), Account: held.Account, Since: held.Since, Until: held.Until,
		Credential: held.State, Suspected: l.suspicions.waiting(suspicion{repo: l.repo}), Revoked: l.suspicions.tookBack(l.repo),
	}
	r.Due = !held.Since.IsZero() && l.due(held.Since)
	if held.Fault != nil {
		r.Fault = held.Fault.Error()
	}
	r.Denied = r.denied()
	return r
}

func grantOf(held tokencache.Holding) string {
	switch {
	case !held.Token:
		return GrantUnasked
	case held.Allows:
		return GrantPull
	case held.Opaque && held.Account == "" && held.Since.IsZero():
		return GrantOpen
	case held.Opaque:
		return GrantUnknown
	}
	return GrantNothing
}

// denied is why upstream would refuse what it is asked for. A token that grants the pull,
// or that may, outlives the credential that it was given for.
func (r Right) denied() string {
	own := r.Grant == GrantUnknown && r.Since.IsZero() // no exchange: the credential itself is sent
	switch {
	case r.Grant == GrantPull:
	case r.Grant == GrantNothing:
		return DeniedNothing
	case r.Credential == tokencache.StateRefused && (r.Grant == GrantUnasked || own):
		return DeniedCredential
	case r.Revoked:
		return DeniedRevoked
	}
	return ""
}

// tag is what its record is worth, and the size of the manifest that it names.
func (l looking) tag(name string) (t Tagged, size int64) {
	key := tagKey{l.repo, name}
	t = Tagged{Name: name, State: RecordUnknown, Suspected: l.suspicions.waiting(suspicion{repo: l.repo, tag: name})}
	held, known := l.index.Tag(l.repo, name)
	if known {
		t.State = l.worth(key, held)
		t.Digest, t.MediaType, t.Checked = held.Digest, held.MediaType, held.Checked
		t.Fresh = held.Checked.Add(l.settings(l.repo).TagTTL)
		if l.Policy.StaleIfError != Forever && !referrersTag(name) {
			t.Stale = held.Checked.Add(l.Policy.StaleIfError)
		}
	}
	if held.Next != "" {
		t.Next, t.NextSince, t.NextAt = held.Next, held.NextSince, held.NextSince.Add(l.Policy.ProxySettle)
	}
	if no, ok := l.refused.peek(key.String()); ok && t.State != RecordFresh {
		t.Refused = message(no)
	}
	return t, held.Size
}

// worth is what a record that there is can be used for.
func (l looking) worth(key tagKey, held index.Tag) string {
	switch {
	case held.Suspended:
		return RecordSuspended
	case l.fresh(key, held):
		return RecordFresh
	case l.servesStale(key, held):
		return RecordStale
	}
	return RecordExpired
}

// message is an error as an operator is told it: with its cause.
func message(err error) string { return reason(err).Error() }
