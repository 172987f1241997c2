package tokencache

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"breakwater/internal/redact"
)

// noGrantLife is how long "the account has nothing there" is remembered.
const noGrantLife = 10 * time.Second

// A question is what a token is wanted for.
type question struct {
	terms  *terms
	scopes []Scope
	key    string // what the answer is kept under
	flight string // who asks the same waits together
}

// basicKey keeps the Basic authorization, which is the same for every scope. No
// scope's key is like it.
const basicKey = "basic"

func (c *Cache) question(t *terms, scopes []Scope) question {
	key := keyOf(scopes, t.harbor())
	return question{terms: t, scopes: scopes, key: key, flight: key}
}

func (q question) basic() question {
	return question{terms: q.terms, key: basicKey, flight: basicKey}
}

// catalog tells the one resource that Harbor wants Basic for.
func (q question) catalog() bool { return len(q.scopes) == 1 && q.scopes[0].catalog() }

// noGrant is the error for a question whose answer was "nothing".
func (c *Cache) noGrant(q question, account string) error {
	err := &NoGrantError{Upstream: c.origin, Account: account}
	if len(q.scopes) > 0 {
		err.Scope = q.scopes[0]
	}
	return err
}

// nobodys reports whether a token that was asked for with credentials names
// nobody. Harbor's always name their account; another registry's may lack the
// claim and be good, unless they grant nothing either.
func (t *token) nobodys(of *terms, scopes []Scope) bool {
	if t.grant.Account == "" || t.grant.Opaque || t.grant.Subject != "" {
		return false
	}
	return of.harbor() || len(scopes) > 0 && t.grant.Access != nil && t.grantsNothing()
}

func (t *token) grantsNothing() bool {
	return !t.grant.Opaque && claims{Access: t.grant.Access}.grantsNothing()
}

// judged exchanges and says what the answer means for the credential. The error
// is ctx's own or one of the exported ones.
func (c *Cache) judged(ctx context.Context, q question, creds Credentials) (*token, error) {
	if q.key == basicKey {
		return c.judgedBasic(ctx, creds)
	}
	confirmed, err := c.confirmed(ctx, q.terms)
	if err != nil {
		return nil, err
	}
	q.terms = confirmed
	issued, err := c.exchange(ctx, q.terms, creds, q.scopes)
	if misplaced(err) {
		c.doubt.Store(true)
	}
	if errors.Is(err, errUnauthorized) && creds.anonymous() {
		// Harbor answers so to nobody who asks for nothing.
		return c.nothing(creds), nil
	}
	if err == nil && issued.nobodys(q.terms, q.scopes) {
		issued, err = c.askHonestly(ctx, q, creds)
	}
	switch {
	case errors.Is(err, errUnauthorized):
		return nil, c.refused(ctx, creds)
	case err != nil:
		return nil, err
	case issued.noGrant:
		issued.usable = time.Now().Add(noGrantLife)
	}
	return issued, nil
}

// askHonestly follows a token that names nobody. With a scope Harbor answers 200
// to refused credentials and while its database is down; without a scope it says
// 401. If it says 200 there, the first answer was a passing fault (another login's
// wrong password blocks a user for 1.5 s), and the scope is asked once more.
func (c *Cache) askHonestly(ctx context.Context, q question, creds Credentials) (*token, error) {
	if len(q.scopes) > 0 {
		who, err := c.exchange(ctx, q.terms, creds, nil)
		if err != nil {
			return nil, err
		}
		if !who.nobodys(q.terms, nil) {
			issued, err := c.exchange(ctx, q.terms, creds, q.scopes)
			if err != nil || !issued.nobodys(q.terms, q.scopes) {
				return issued, err
			}
		}
	}
	return nil, c.unavailable("the token service answers %q with tokens that name nobody", creds.Username)
}

// nothing stands for the answer to anonymous questions that upstream refuses.
func (c *Cache) nothing(creds Credentials) *token {
	return &token{
		generation: c.generations.Load(), usable: time.Now().Add(noGrantLife),
		grant: Grant{Account: creds.Username}, noGrant: true,
	}
}

// judgedBasic makes the Basic authorization, after upstream accepted it once.
func (c *Cache) judgedBasic(ctx context.Context, creds Credentials) (*token, error) {
	if creds.anonymous() {
		return nil, &CredentialError{Upstream: c.origin}
	}
	generation := c.generations.Add(1)
	accepted, err := c.prove(ctx, creds)
	if err != nil {
		return nil, err
	}
	if !accepted {
		return nil, c.refused(ctx, creds)
	}
	userPass := creds.Username + ":" + creds.Password.Reveal() // RFC 7617 §2
	now := time.Now()
	return &token{
		exchanged:     now,
		authorization: redact.Secret(schemeBasic + " " + base64.StdEncoding.EncodeToString([]byte(userPass))),
		generation:    generation, usable: now.Add(longestLife), life: longestLife,
		grant: Grant{Account: creds.Username, Opaque: true, ExpiresAt: now.Add(longestLife)},
	}, nil
}

// refused is the error for a credential that upstream said 401 to: it is refused,
// unless upstream says that it is ill, for then it would have said the same.
func (c *Cache) refused(ctx context.Context, creds Credentials) error {
	if c.health != nil {
		limited, cancel := context.WithTimeout(ctx, healthLimit)
		defer cancel()
		if ill := c.health(limited); ill != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			err := c.unavailable("the credential of %q is refused, but upstream says that it is ill: %v", creds.Username, ill)
			err.ill = true
			return err
		}
	}
	return &CredentialError{Upstream: c.origin, Account: creds.Username}
}
