package tokencache

import (
	"slices"
	"time"
)

// A Holding is what is known of a right without asking.
type Holding struct {
	// State is that of the account's credential: one of the State constants. Fault is
	// why no token can be had, as long as nobody is asked again; else nil.
	State string
	Fault error

	// Token tells whether a request would be sent without an exchange: with a token that
	// is held, with the account's own, or with none because upstream wants none. What
	// follows is set only then.
	Token bool
	// Account is ours; empty for anonymous access.
	Account string
	// Since is when the exchange of the token that is held began; zero where there was
	// none. Until is the token's own end, by our clock; zero where nothing expires.
	Since, Until time.Time
	// Allows tells whether the token grants the right; Opaque that it does not say.
	Allows, Opaque bool
}

// Held tells what is held for s. It is a look: nothing is asked of the network, and no
// token counts as used.
func (c *Cache) Held(s Scope) Holding {
	h := c.credential.look()
	known := c.known.Load()
	switch {
	case known == nil:
		return h
	case c.bearer:
		creds, err := c.credentials()
		h.Token, h.Account, h.Opaque = err == nil, creds.Username, true
		return h
	case known.scheme == "":
		h.Token, h.Opaque = true, true
		return h
	}
	if t := c.tokens.peek(c.answering(known, s).key); t != nil {
		h.Token, h.Account, h.Since, h.Until = true, t.grant.Account, t.exchanged, t.grant.ExpiresAt
		h.Allows = t.allows(s, known.harbor())
		h.Opaque = t.grant.Opaque || t.grant.Access == nil && !t.noGrant
	}
	return h
}

// look is what is known of the credential.
func (s *credential) look() Holding {
	fault := s.setback(time.Now()).err
	s.mu.Lock()
	defer s.mu.Unlock()
	return Holding{State: s.state, Fault: fault}
}

// allows tells whether s is granted by a token that is used for it. At Harbor that may
// be one that was asked for by another repository of the project.
func (t *token) allows(s Scope, harbor bool) bool {
	return slices.ContainsFunc(t.grant.Access, func(granted Scope) bool {
		alike := granted.Name == s.Name || harbor && granted.key(harbor) == s.key(harbor)
		return alike && t.grant.Allows(Scope{Type: s.Type, Name: granted.Name, Actions: s.Actions})
	})
}
