package tokencache

import (
	"context"
	"slices"
	"time"
)

// A Grant is what upstream says that it grants.
type Grant struct {
	Account   string    // whom we asked as; empty for anonymous access
	Subject   string    // whom the token names: the account as upstream knows it
	Access    []Scope   // the rights the token lists, which may be more than asked for
	Opaque    bool      // nothing is known of Subject and Access: no JWT, or no token needed
	ExpiresAt time.Time // by our clock; zero where nothing expires
}

// Allows reports whether every action of s is granted. An opaque grant allows
// nothing that can be known here.
func (g Grant) Allows(s Scope) bool {
	allowed := func(action string) bool {
		return slices.ContainsFunc(g.Access, func(granted Scope) bool {
			return granted.Type == s.Type && granted.Name == s.Name &&
				(slices.Contains(granted.Actions, action) || slices.Contains(granted.Actions, "*"))
		})
	}
	return len(s.Actions) > 0 && !slices.ContainsFunc(s.Actions, func(action string) bool { return !allowed(action) })
}

// Grant asks upstream what it grants right now: by an exchange that begins after
// the call, whatever is held, and whose token is used from then on. The zero
// Scope asks only who we are. Errors are those of [Cache.Transport]; a back-off
// holds here too.
func (c *Cache) Grant(ctx context.Context, s Scope) (Grant, error) {
	now := c.generations.Load()
	known, err := c.terms(ctx)
	if err != nil {
		return Grant{}, err
	}
	if known.scheme == "" {
		return Grant{Opaque: true}, nil
	}
	var scopes []Scope
	if s.Type != "" {
		scopes = []Scope{s}
	}
	q := c.question(known, scopes)
	if known.scheme == schemeBasic {
		q = q.basic()
	}
	// A key may hold several scopes, and only the one asked for is listed.
	q.flight = "grant " + s.String()
	got, err := c.token(ctx, q, now)
	if err != nil {
		return Grant{}, err
	}
	if got.noGrant {
		return Grant{}, c.noGrant(q, got.grant.Account)
	}
	return got.grant, nil
}

// TokenService tells whether there is a token service, so that [Cache.Grant] tells
// of a right. Where there is none (an open registry, Basic, [Options].BearerToken) only
// the answer to a request for content does. It is true while nothing is known of
// upstream; nothing is asked of the network.
func (c *Cache) TokenService() bool {
	known := c.known.Load()
	return known == nil || known.scheme == schemeBearer
}

// Distrust drops the token that is held for s: it would outlive a right that was found
// to be gone. The next request asks for another one.
func (c *Cache) Distrust(s Scope) {
	if known := c.known.Load(); known != nil && known.scheme != "" {
		c.tokens.drop(c.answering(known, s).key)
	}
}

// Exchanged tells as of when the right to s is proven: when the exchange of the
// token that is held for it began. Registries' tokens outlive a right that was
// taken away, so an answer to a request proves no more than this. It is zero where
// no token is held, or one that grants nothing, and now where upstream asks for
// none. Nothing is asked of the network.
func (c *Cache) Exchanged(s Scope) time.Time {
	known := c.known.Load()
	switch {
	case known == nil:
		return time.Time{}
	case known.scheme == "":
		return time.Now()
	}
	if held := c.tokens.held(c.answering(known, s).key, 0); held != nil && !held.noGrant {
		return held.exchanged
	}
	return time.Time{}
}

// answering is the question whose answer is used for s.
func (c *Cache) answering(known *terms, s Scope) question {
	q := c.question(known, []Scope{s})
	if known.scheme == schemeBasic {
		q = q.basic()
	}
	return q
}
