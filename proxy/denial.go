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

// suspicion is what was refused once: a tag, a manifest, a blob, or (with none of them)
// the access to the repository.
type suspicion struct {
	repo   index.Repository
	tag    string
	digest digest.Digest
	blob   bool // which the digest is of
}

// suspicionOf is that of a manifest or blob.
func suspicionOf(pr pair) suspicion {
	return suspicion{repo: pr.repo, digest: pr.digest, blob: pr.kind == index.Blob}
}

// nothing tells that only the access is meant.
func (s suspicion) nothing() bool { return s.tag == "" && s.digest == "" }

func (s suspicion) kind() index.Kind {
	if s.blob {
		return index.Blob
	}
	return index.Manifest
}

func (s suspicion) request() registry.Request {
	request := pair{s.repo, s.kind(), s.digest}.request()
	request.Method, request.Tag = http.MethodHead, s.tag
	return request
}

// suspicions wait to be confirmed or dismissed.
type suspicions struct {
	mu      sync.Mutex // guards all below
	held    map[suspicion]struct{}
	revoked map[index.Repository]struct{} // until one of their pairs is granted again
}

// waiting tells whether something was refused once, and is asked again soon.
func (s *suspicions) waiting(one suspicion) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, waits := s.held[one]
	return waits
}

// tookBack tells whether the access to a repository was revoked, and not given again.
func (s *suspicions) tookBack(repo index.Repository) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, revoked := s.revoked[repo]
	return revoked
}

// deniedHeld decides what upstream's no means for something that is held: whether it is
// refused from now on. One refusal proves nothing (Harbor answers 401 to a valid
// token while its database is down), so it is asked again after a while, except for
// a policy, which only a well Harbor can state.
func (o *origin) deniedHeld(s suspicion, err error) (refused bool) {
	switch o.denialOfHeld(s.repo, err) {
	case denialPolicy:
		o.suspend(s)
		return true
	case denialGone, denialAccess:
		o.suspect(s, err)
	}
	return false
}

// denialOfHeld is denialOf for what is held. A proxy-cache project whose own upstream
// is down, or was, says 404 for what it served a minute ago.
func (o *origin) denialOfHeld(repo index.Repository, err error) denial {
	no := denialOf(err)
	if no == denialGone && o.settings(repo).ProxyCache {
		return notDenied
	}
	return no
}

// suspect has it asked again later.
func (o *origin) suspect(s suspicion, because error) {
	epoch := o.index.Epoch(s.repo)
	o.suspicions.mu.Lock()
	_, known := o.suspicions.held[s]
	if known || len(o.suspicions.held) >= mostSuspicions {
		o.suspicions.mu.Unlock()
		return
	}
	o.suspicions.held[s] = struct{}{}
	o.suspicions.mu.Unlock()
	o.tellDenial(s, DenialSuspected, zap.NamedError("because", reason(because)))
	o.life.Start(func() {
		o.judge(o.life.Context(), s, epoch)
		o.suspicions.mu.Lock()
		defer o.suspicions.mu.Unlock()
		delete(o.suspicions.held, s)
	})
}

func (o *origin) tellDenial(s suspicion, state string, more ...zap.Field) {
	o.Events.DenialChanged(o.Upstream.Name(), state)
	fields := []zap.Field{zap.String("state", state), zap.String("upstream", o.Upstream.Name()), zap.String("repository", s.repo.Name)}
	if reference := s.request().Reference(); reference != "" {
		fields = append(fields, zap.String("reference", reference))
	}
	o.Log.Warn("denial "+state, append(fields, more...)...)
}
