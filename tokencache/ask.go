package tokencache

import (
	"context"
	"errors"
	"time"
)

// Ask asks Harbor what it grants to somebody else: one exchange by the rules of our
// own, whose token is dropped. Whatever comes of it, nothing is kept, no event is
// emitted, and our own account's state, back-off and tokens stay as they are; nor is
// it held up by that back-off. Only a Retry-After of the token service (429, 503) is
// kept, for 60 s at most: until it is over nothing is asked here.
//
// The answer is in Grant.Subject and Grant.Access. With scopes Harbor never answers
// 401: refused credentials get a token that names nobody, and so do right ones while
// its database is down. Without scopes both get a [*RefusedError]. Other errors are
// ctx's own, [ErrClosed], and an [*UnavailableError], which is nobody's refusal: also
// where upstream is no Harbor, since what other registries' tokens say of a subject
// need not prove anything.
func (c *Cache) Ask(ctx context.Context, theirs Credentials, scopes ...Scope) (Grant, error) {
	// Nobody else waits for the answer: a flight is what Close can end.
	return c.others.Do(ctx, &theirs, func(ctx context.Context) (Grant, error) {
		if until := c.spared.Load(); until != nil && time.Now().Before(*until) {
			err := c.unavailable("the token service wants to be left alone for a while")
			err.RetryAfter = time.Until(*until)
			return Grant{}, err
		}
		issued, err := c.issueTo(ctx, theirs, scopes)
		if err != nil {
			return Grant{}, err
		}
		return issued.grant, nil
	})
}

// issueTo is the exchange of Ask.
func (c *Cache) issueTo(ctx context.Context, theirs Credentials, scopes []Scope) (*token, error) {
	known, err := c.pings.Do(ctx, forOthers, c.learn)
	if err != nil {
		return nil, err
	}
	if known, err = c.confirmed(ctx, known); err != nil {
		return nil, err
	}
	if !known.harbor() {
		return nil, c.unavailable("its challenge is not Harbor's, and only Harbor can be asked about the credentials of others")
	}
	realm, err := c.realm(known)
	if err != nil {
		c.doubt.Store(true)
		return nil, c.unavailable("%v", err)
	}
	issued, err := c.issue(ctx, realm, known, theirs, scopes)
	if misplaced(err) {
		c.doubt.Store(true)
	}
	if errors.Is(err, errUnauthorized) {
		return nil, &RefusedError{Upstream: c.origin}
	}
	var unavailable *UnavailableError
	if errors.As(err, &unavailable) && unavailable.RetryAfter > 0 {
		until := time.Now().Add(min(unavailable.RetryAfter, longestBackoff))
		c.spared.Store(&until)
	}
	return issued, err
}
