package proxy

import (
	"context"
	"time"
)

// accessPause is how soon a check of access that told nothing is tried again.
const accessPause = 30 * time.Second

// checkAccess is called on each hit. A registry's tokens outlive the right that they
// were given for, and a hit asks nobody: so a proof that is older than AccessTTL is
// renewed in the background, with a token exchanged anew.
//
// An upstream without a token service is asked for what was hit. If that is another
// Breakwater, its answer is as old as its own proof, and makes that be renewed: so it is
// asked twice within AccessTTL.
func (o *origin) checkAccess(hit pair) {
	s, pause := suspicion{repo: hit.repo}, accessPause
	switch {
	case !o.Upstream.TokenService():
		s, pause = suspicionOf(hit), o.Policy.AccessTTL/2
	case !o.due(o.Upstream.Exchanged(pullScope(hit.repo))):
		return
	}
	if !o.accessAsked.once(hit.repo.Name, pause) {
		return
	}
	if !o.accesses.later(func(ctx context.Context) {
		err := o.grant(ctx, s)
		if err == nil {
			return
		}
		if denialOf(err) == notDenied {
			o.accessAsked.put(hit.repo.Name, struct{}{}, accessPause)
		}
		o.deniedHeld(s, err)
	}) {
		o.accessAsked.forget(hit.repo.Name) // the next hit asks
	}
}

// due tells whether a proof of access of that time is too old.
func (o *origin) due(proven time.Time) bool { return time.Since(proven) >= o.Policy.AccessTTL }
