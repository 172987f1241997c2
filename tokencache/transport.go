package tokencache

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"breakwater/internal/redact"
)

// Transport authenticates each request to Registry's origin and sends it by next.
// Several transports may share one Cache.
//
// The scope is that of the request's context ([WithScope]). Authorization and
// Cookie fields of the request are not sent on. A request to another origin is
// refused with an error: credentials go to one place.
//
// A 401 that comes out has been tried with a token exchanged after the request
// began, or with a new one within a growing pause (1 s to 60 s per key) after a 401
// that caused an exchange; or the request's body could not be sent twice. Errors
// are [*CredentialError], [*NoGrantError], [*UnavailableError], [*RealmError],
// [ErrClosed], the context's, and those of next.
//
// With [Options].BearerToken there is neither scope nor exchange: a 401 becomes a
// [*CredentialError].
func (c *Cache) Transport(next http.RoundTripper) http.RoundTripper {
	if c.bearer {
		return &bearer{cache: c, next: next}
	}
	return &transport{cache: c, next: next}
}

type transport struct {
	cache *Cache
	next  http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return closing(req, t.roundTrip)
}

// closing closes the body of a request that was not sent, as RoundTrip must on errors too.
func closing(req *http.Request, roundTrip func(*http.Request) (resp *http.Response, sent bool, err error)) (*http.Response, error) {
	resp, sent, err := roundTrip(req)
	if !sent && req.Body != nil {
		_ = req.Body.Close() // of what nobody has read
	}
	return resp, err
}

// roundTrip sends the request until upstream says something else than 401 or
// there is nothing left to try. That comes soon: each round has a newer token, one
// that is newer than the request is the last, and the change from Bearer to Basic
// is made once.
func (t *transport) roundTrip(req *http.Request) (resp *http.Response, sent bool, err error) {
	c := t.cache
	if err := c.placed(req.URL); err != nil {
		return nil, false, err
	}
	began := c.generations.Load()
	use := attempt{scopes: scopesOf(req.Context())}
	for {
		if err := c.authorize(req.Context(), &use); err != nil {
			return nil, sent, err
		}
		var authorization redact.Secret
		if use.token != nil {
			authorization = use.token.authorization
		}
		outgoing, err := prepared(req, authorization, sent)
		if err != nil {
			return nil, sent, err
		}
		resp, err := t.next.RoundTrip(outgoing)
		sent = true
		if err != nil {
			return nil, sent, err
		}
		if !c.again(&use, resp, began) || !repeatable(req) {
			resp.Request = req // not the one that holds the token
			return resp, sent, nil
		}
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
		_ = resp.Body.Close()
	}
}

// repeatable tells whether the request can be sent a second time.
func repeatable(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

// placed refuses a request that goes elsewhere than the credentials.
func (c *Cache) placed(u *url.URL) error {
	if !SameOrigin(u, c.registry) {
		return fmt.Errorf("tokencache: %s is not at %s, for which the credentials are", redact.URL(u), c.origin)
	}
	return nil
}

// prepared clones the request, which a RoundTripper must not change. Without an
// authorization it carries none.
func prepared(req *http.Request, authorization redact.Secret, again bool) (*http.Request, error) {
	outgoing := req.Clone(req.Context())
	outgoing.Header.Del("Authorization")
	outgoing.Header.Del("Cookie") // any sid makes Harbor refuse a POST
	if authorization != "" {
		outgoing.Header.Set("Authorization", authorization.Reveal())
	}
	if again && req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		outgoing.Body = body
	}
	return outgoing, nil
}

// An attempt is how a request is authenticated this time, and what is known for
// the next one.
type attempt struct {
	scopes []Scope
	after  uint64 // the token's exchange must have begun after it
	basic  bool   // Bearer was refused where Basic is offered

	asked question // what the request is for
	token *token   // nil: open, no Authorization
}

// authorize finds the Authorization for an attempt.
func (c *Cache) authorize(ctx context.Context, use *attempt) error {
	known, err := c.terms(ctx)
	if err != nil {
		return err
	}
	use.asked, use.token = c.question(known, use.scopes), nil
	if known.scheme == "" {
		return nil
	}
	ask := use.asked
	use.basic = use.basic || known.scheme == schemeBasic || c.tokens.basic(ask.key)
	if use.basic {
		ask = ask.basic()
	}
	got, err := c.token(ctx, ask, use.after)
	if err == nil && got.noGrant && ask.catalog() && got.grant.Account != "" {
		// Harbor lists no catalog right for robots in a token, and takes none.
		use.basic = true
		got, err = c.token(ctx, ask.basic(), use.after)
	}
	if err != nil {
		return err
	}
	if got.noGrant {
		return c.noGrant(ask, got.grant.Account)
	}
	use.token = got
	return nil
}

// again decides whether a request is worth another attempt, and with what.
func (c *Cache) again(use *attempt, resp *http.Response, began uint64) bool {
	switch {
	case resp.StatusCode != http.StatusUnauthorized:
		if use.basic && use.asked.catalog() {
			c.tokens.setBasic(use.asked.key, true)
		}
		return false
	case use.token == nil:
		// Sent without Authorization: upstream's challenge is honest.
		learnt, ok := termsOf(ParseChallenges(resp.Header))
		if ok {
			c.known.Store(learnt)
		}
		return ok
	case !use.basic && use.asked.catalog() && use.token.grant.Account != "" && offersBasic(resp):
		use.basic = true
		return true
	case use.token.generation > began:
		if use.basic {
			c.tokens.setBasic(use.asked.key, false)
		}
		c.tokens.reject(use.asked.key, use.token)
		return false
	}
	key := use.asked.key
	if use.basic {
		key = basicKey
	}
	use.after = use.token.generation
	return c.tokens.replace(use.asked.key, key, use.token, c.generations.Load())
}

func offersBasic(resp *http.Response) bool {
	return slices.ContainsFunc(ParseChallenges(resp.Header), func(c Challenge) bool { return c.Scheme == "basic" })
}
