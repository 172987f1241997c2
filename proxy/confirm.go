package proxy

import (
	"context"
	"errors"
	"net/http"
	"time"

	"breakwater/blobcache/index"
	"breakwater/tokencache"

	"go.uber.org/zap"
)

// credentialDoubt is how long a credential must be refused, with a Harbor that says
// it is well, before that is believed: an outage of its database looks the same
// until its own health check has noticed.
const credentialDoubt = 2 * time.Minute

// askingAtOnce is how much of what waits to be confirmed is asked at a time.
const askingAtOnce = 8

// judge waits, asks again, and acts on the answer, unless the repository was revoked
// meanwhile on account of another suspicion.
func (o *origin) judge(ctx context.Context, s suspicion, epoch index.Epoch) {
	if !sleep(ctx, o.Policy.DenialConfirm) || o.index.Epoch(s.repo) != epoch {
		return
	}
	verdict := o.askAgain(ctx, s)
	switch {
	case ctx.Err() != nil, o.index.Epoch(s.repo) != epoch:
	case verdict == notDenied:
		o.tellDenial(s, DenialDismissed)
	case verdict == denialAccess:
		o.revoke(s.repo)
	default:
		o.suspend(s)
	}
}

// askAgain repeats the question with a token exchanged now. What it returns is
// confirmed.
func (o *origin) askAgain(ctx context.Context, s suspicion) denial {
	if verdict := o.accessNow(ctx, s); verdict != nil {
		return *verdict
	}
	if s.nothing() {
		return notDenied // the account may pull
	}
	verdict := o.denialOfHeld(s.repo, o.inTurn(ctx, func(ctx context.Context) error { return o.see(ctx, s) }))
	if verdict == denialAccess {
		// Refused with a token that names us and grants the pull. Had Harbor fallen
		// ill in between, the next exchange would show it.
		if again := o.accessNow(ctx, s); again != nil {
			return *again
		}
	}
	return verdict
}

// see asks by HEAD whether upstream still has what is suspected to be refused.
func (o *origin) see(ctx context.Context, s suspicion) error {
	if s.nothing() {
		return nil // upstream's terms were learnt just now: the next hit has a pair to ask for
	}
	resp, _, err := o.ask(ctx, http.MethodHead, s.request())
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

// inTurn keeps what follows from refusals, of which an outage brings thousands at
// once, from competing with pulls.
func (o *origin) inTurn(ctx context.Context, ask func(context.Context) error) error {
	if err := o.turns.Acquire(ctx, 1); err != nil {
		return err
	}
	defer o.turns.Release(1)
	limited, cancel := budgeted(ctx)
	defer cancel()
	return ask(limited)
}

// accessNow asks whether our account may pull from the repository: nil if so, else what
// that means.
func (o *origin) accessNow(ctx context.Context, s suspicion) *denial {
	access, unknown := denialAccess, notDenied
	for began := time.Now(); ; {
		err := o.grant(ctx, s)
		switch no := o.denialOfHeld(s.repo, err); {
		case err == nil, no == denialGone, no == denialPolicy: // that is about what is in it
			return nil
		case no == notDenied:
			return &unknown
		case !ofCredential(err), time.Since(began) >= credentialDoubt:
			return &access
		}
		if !sleep(ctx, o.Policy.DenialConfirm) {
			return &unknown
		}
	}
}

// grant asks for a new token, and fails where that does not allow the pull. Where there
// is no token service the question is for what is suspected to be refused.
func (o *origin) grant(ctx context.Context, s suspicion) error {
	return o.inTurn(ctx, func(ctx context.Context) error {
		scope := pullScope(s.repo)
		grant, err := o.Upstream.Grant(ctx, scope)
		switch {
		case err != nil:
			return err
		case !o.Upstream.TokenService():
			return o.see(ctx, s)
		case !grant.Opaque && !grant.Allows(scope):
			return &tokencache.NoGrantError{Upstream: o.key, Account: grant.Account, Scope: scope}
		}
		return nil
	})
}

func pullScope(repo index.Repository) tokencache.Scope {
	return tokencache.Scope{Type: "repository", Name: repo.Name, Actions: []string{"pull"}}
}

// revoke ends all that is linked to the repository. What is under way for it now is
// discarded, and so is the token by which it would be granted anew.
func (o *origin) revoke(repo index.Repository) {
	o.Upstream.Distrust(pullScope(repo))
	if err := o.index.Revoke(repo); err != nil {
		o.Log.Error("a revocation holds, but could not be written", zap.String("repository", repo.Name), zap.Error(err))
	}
	o.suspicions.mu.Lock()
	if len(o.suspicions.revoked) < mostSuspicions {
		o.suspicions.revoked[repo] = struct{}{}
	}
	o.suspicions.mu.Unlock()
	o.tellDenial(suspicion{repo: repo}, DenialConfirmed)
}

// granted notes that upstream gave something of a repository, which ends a revocation.
func (o *origin) granted(repo index.Repository) {
	o.suspicions.mu.Lock()
	_, was := o.suspicions.revoked[repo]
	delete(o.suspicions.revoked, repo)
	o.suspicions.mu.Unlock()
	if was {
		o.tellDenial(suspicion{repo: repo}, DenialLifted)
	}
}

// suspend refuses a tag, manifest or blob until upstream grants it again.
func (o *origin) suspend(s suspicion) {
	var err error
	if s.tag != "" {
		held, known := o.index.Tag(s.repo, s.tag)
		err = o.index.SuspendTag(s.repo, s.tag)
		if known {
			// Whoever pulls by digest gets upstream's own word for it.
			err = errors.Join(err, o.index.SuspendLink(s.repo, index.Manifest, held.Digest))
		}
	} else {
		err = o.index.SuspendLink(s.repo, s.kind(), s.digest)
	}
	if err != nil {
		o.Log.Error("a suspension holds, but could not be written", zap.String("repository", s.repo.Name), zap.Error(err))
	}
	o.tellDenial(s, DenialConfirmed)
}

// sleep waits, and tells whether ctx lives on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
