package proxy

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"breakwater/blobcache/index"
	"breakwater/proxy/registry"
	"breakwater/tokencache"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

// A refusal by upstream is of one of these kinds.
type denial int

const (
	notDenied    denial = iota // upstream is down, or said nothing that counts
	denialAccess               // our account may not pull there: 401, 403, a token that grants nothing
	denialGone                 // 404, 410
	denialPolicy               // 412: upstream's own rule forbids it
)

// denialOf reads what an error of [Proxy.ask] says of our rights.
func denialOf(err error) denial {
	var (
		no         *saidNo
		grant      *tokencache.NoGrantError
		credential *tokencache.CredentialError
	)
	switch {
	case errors.As(err, &grant), errors.As(err, &credential):
		return denialAccess
	case !errors.As(err, &no):
		return notDenied
	}
	switch no.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return denialAccess
	case http.StatusNotFound, http.StatusGone:
		return denialGone
	case http.StatusPreconditionFailed:
		return denialPolicy
	}
	return notDenied
}

// byAnswer tells a refusal of the request itself. One for want of a token is the
// token cache's to remember: it knows when the secret has changed.
func byAnswer(err error) bool {
	var no *saidNo
	return errors.As(err, &no) && denialOf(err) != notDenied
}

// The states of a denial, as [Events] are told them.
const (
	DenialSuspected = "suspected" // refused once, and still served
	DenialConfirmed = "confirmed" // refused again with a new token: suspended
	DenialDismissed = "dismissed" // it was a fault, or the right is back
	DenialLifted    = "lifted"    // a suspended tag or manifest was granted again
)

// credentialDoubt is how long a credential must be refused, with a Harbor that says
// it is well, before that is believed: an outage of its database looks the same
// until its own health check has noticed.
const credentialDoubt = 2 * time.Minute

// mostSuspicions bounds what waits to be confirmed, askingAtOnce how much of it is
// asked at a time.
const (
	mostSuspicions = 4096
	askingAtOnce   = 8
)

// suspicion is what was refused once: a tag, a manifest, or (with neither) the
// access to the repository.
type suspicion struct {
	repo   index.Repository
	tag    string
	digest digest.Digest
}

func (s suspicion) request() registry.Request {
	return registry.Request{Kind: registry.KindManifest, Method: http.MethodHead, Name: s.repo.Name, Tag: s.tag, Digest: s.digest}
}

// suspicions wait to be confirmed or dismissed.
type suspicions struct {
	mu      sync.Mutex // guards all below
	held    map[suspicion]struct{}
	revoked map[index.Repository]struct{} // until one of their pairs is granted again
}

// deniedHeld decides what upstream's no means for something that is held: whether it is
// refused from now on. One refusal proves nothing (Harbor answers 401 to a valid
// token while its database is down), so it is asked again after a while, except for
// a policy, which only a well Harbor can state.
func (p *Proxy) deniedHeld(s suspicion, err error) (refused bool) {
	switch p.denialOfHeld(s.repo, err) {
	case denialPolicy:
		p.suspend(s)
		return true
	case denialGone, denialAccess:
		p.suspect(s, err)
	}
	return false
}

// denialOfHeld is denialOf for what is held. A proxy-cache project whose own upstream
// is down, or was, says 404 for what it served a minute ago.
func (p *Proxy) denialOfHeld(repo index.Repository, err error) denial {
	no := denialOf(err)
	if no == denialGone && p.project(repo).ProxyCache {
		return notDenied
	}
	return no
}

// suspect has it asked again later.
func (p *Proxy) suspect(s suspicion, because error) {
	epoch := p.index.Epoch(s.repo)
	p.suspicions.mu.Lock()
	_, known := p.suspicions.held[s]
	if known || len(p.suspicions.held) >= mostSuspicions {
		p.suspicions.mu.Unlock()
		return
	}
	p.suspicions.held[s] = struct{}{}
	p.suspicions.mu.Unlock()
	p.tellDenial(s, DenialSuspected, zap.NamedError("because", reason(because)))
	p.life.Start(func() {
		p.judge(p.life.Context(), s, epoch)
		p.suspicions.mu.Lock()
		defer p.suspicions.mu.Unlock()
		delete(p.suspicions.held, s)
	})
}

func (p *Proxy) tellDenial(s suspicion, state string, more ...zap.Field) {
	p.Events.DenialChanged(p.Upstream.Name(), state)
	fields := []zap.Field{zap.String("state", state), zap.String("upstream", p.Upstream.Name()), zap.String("repository", s.repo.Name)}
	if reference := s.request().Reference(); reference != "" {
		fields = append(fields, zap.String("reference", reference))
	}
	p.Log.Warn("denial "+state, append(fields, more...)...)
}

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
