package proxy

import (
	"context"
	"errors"
	"net/http"
	"time"

	"breakwater/blobcache/index"
	"breakwater/proxy/registry"
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
func (p *Proxy) judge(ctx context.Context, s suspicion, epoch index.Epoch) {
	if !sleep(ctx, p.Policy.DenialConfirm) || p.index.Epoch(s.repo) != epoch {
		return
	}
	verdict := p.askAgain(ctx, s)
	switch {
	case ctx.Err() != nil, p.index.Epoch(s.repo) != epoch:
	case verdict == notDenied:
		p.tellDenial(s, DenialDismissed)
	case verdict == denialAccess:
		p.revoke(s.repo)
	default:
		p.suspend(s)
	}
}

// askAgain repeats the question with a token exchanged now. What it returns is
// confirmed.
func (p *Proxy) askAgain(ctx context.Context, s suspicion) denial {
	if verdict := p.accessNow(ctx, s.repo); verdict != nil {
		return *verdict
	}
	if s.tag == "" && s.digest == "" {
		return notDenied // the account may pull
	}
	verdict := p.denialOfHeld(s.repo, p.askOnce(ctx, s.request()))
	if verdict == denialAccess {
		// Refused with a token that names us and grants the pull. Had Harbor fallen
		// ill in between, the next exchange would show it.
		if again := p.accessNow(ctx, s.repo); again != nil {
			return *again
		}
	}
	return verdict
}

// askOnce asks by HEAD, not too many at a time.
func (p *Proxy) askOnce(ctx context.Context, request registry.Request) error {
	return p.inTurn(ctx, func(ctx context.Context) error {
		resp, _, err := p.ask(ctx, http.MethodHead, request)
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	})
}

// inTurn keeps what follows from refusals, of which an outage brings thousands at
// once, from competing with pulls.
func (p *Proxy) inTurn(ctx context.Context, ask func(context.Context) error) error {
	if err := p.turns.Acquire(ctx, 1); err != nil {
		return err
	}
	defer p.turns.Release(1)
	limited, cancel := budgeted(ctx)
	defer cancel()
	return ask(limited)
}

// accessNow asks the token service whether our account may pull from the
// repository: nil if so, else what that means.
func (p *Proxy) accessNow(ctx context.Context, repo index.Repository) *denial {
	no, unknown := denialAccess, notDenied
	for began := time.Now(); ; {
		err := p.grant(ctx, repo)
		var credential *tokencache.CredentialError
		switch {
		case err == nil:
			return nil
		case denialOf(err) == notDenied:
			return &unknown
		case !errors.As(err, &credential), time.Since(began) >= credentialDoubt:
			return &no
		}
		if !sleep(ctx, p.Policy.DenialConfirm) {
			return &unknown
		}
	}
}

// grant asks for a new token, and fails where that does not allow the pull.
func (p *Proxy) grant(ctx context.Context, repo index.Repository) error {
	return p.inTurn(ctx, func(ctx context.Context) error {
		scope := pullScope(repo)
		grant, err := p.Upstream.Grant(ctx, scope)
		switch {
		case err != nil:
			return err
		case !grant.Opaque && !grant.Allows(scope):
			return &tokencache.NoGrantError{Upstream: p.origin, Account: grant.Account, Scope: scope}
		}
		return nil
	})
}

func pullScope(repo index.Repository) tokencache.Scope {
	return tokencache.Scope{Type: "repository", Name: repo.Name, Actions: []string{"pull"}}
}

// revoke ends all that is linked to the repository. What is under way for it now is
// discarded, and so is the token by which it would be granted anew.
func (p *Proxy) revoke(repo index.Repository) {
	p.Upstream.Distrust(pullScope(repo))
	if err := p.index.Revoke(repo); err != nil {
		p.Log.Error("a revocation holds, but could not be written", zap.String("repository", repo.Name), zap.Error(err))
	}
	p.suspicions.mu.Lock()
	if len(p.suspicions.revoked) < mostSuspicions {
		p.suspicions.revoked[repo] = struct{}{}
	}
	p.suspicions.mu.Unlock()
	p.tellDenial(suspicion{repo: repo}, DenialConfirmed)
}

// granted notes that upstream gave something of a repository, which ends a revocation.
func (p *Proxy) granted(repo index.Repository) {
	p.suspicions.mu.Lock()
	_, was := p.suspicions.revoked[repo]
	delete(p.suspicions.revoked, repo)
	p.suspicions.mu.Unlock()
	if was {
		p.tellDenial(suspicion{repo: repo}, DenialLifted)
	}
}

// suspend refuses a tag or manifest until upstream grants it again.
func (p *Proxy) suspend(s suspicion) {
	var err error
	if s.tag != "" {
		held, known := p.index.Tag(s.repo, s.tag)
		err = p.index.SuspendTag(s.repo, s.tag)
		if known {
			// Whoever pulls by digest gets upstream's own word for it.
			err = errors.Join(err, p.index.SuspendLink(s.repo, index.Manifest, held.Digest))
		}
	} else {
		err = p.index.SuspendLink(s.repo, index.Manifest, s.digest)
	}
	if err != nil {
		p.Log.Error("a suspension holds, but could not be written", zap.String("repository", s.repo.Name), zap.Error(err))
	}
	p.tellDenial(s, DenialConfirmed)
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
