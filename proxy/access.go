package proxy

import (
	"context"
	"time"

	"breakwater/blobcache/index"
)

// accessPause is how soon a check of access that told nothing is tried again.
const accessPause = 30 * time.Second

// checkAccess is called on each hit. A registry's tokens outlive the right that they
// were given for, and a hit asks nobody: so a proof that is older than AccessTTL is
// renewed in the background, with a token exchanged anew.
func (p *Proxy) checkAccess(repo index.Repository) {
	if time.Since(p.Upstream.Exchanged(pullScope(repo))) < p.Policy.AccessTTL || !p.accessAsked.once(repo.Name, accessPause) {
		return
	}
	if !p.accesses.later(func(ctx context.Context) {
		if err := p.grant(ctx, repo); err != nil {
			p.deniedHeld(suspicion{repo: repo}, err)
		}
	}) {
		p.accessAsked.forget(repo.Name) // the next hit asks
	}
}
