package proxy

import (
	"errors"
	"net/http"
	"sync"

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

// mostSuspicions bounds what waits to be confirmed.
const mostSuspicions = 4096

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
