package tokencache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// terms are how upstream wants to be authenticated to.
type terms struct {
	scheme  string // "" (open), schemeBasic or schemeBearer
	realm   string // Bearer: the token service, as upstream named it
	service string // Bearer: to be repeated to the token service
}

// Schemes as they are sent: Harbor refuses a lower-case "bearer", though RFC 9110
// §11.1 says that case does not matter.
const (
	schemeBasic  = "Basic"
	schemeBearer = "Bearer"
)

// HarborService is the service that Harbor's challenges name.
const HarborService = "harbor-registry"

// harbor tells Harbor by the service that its challenge names.
func (t *terms) harbor() bool { return t.service == HarborService }

// termsOf takes Bearer where it is offered, else Basic.
func termsOf(challenges []Challenge) (*terms, bool) {
	var chosen *terms
	for _, c := range challenges {
		switch {
		case c.Scheme == "bearer":
			return &terms{scheme: schemeBearer, realm: c.Parameters["realm"], service: c.Parameters["service"]}, true
		case c.Scheme == "basic" && chosen == nil:
			chosen = &terms{scheme: schemeBasic}
		}
	}
	return chosen, chosen != nil
}

// Who waits for a ping: one that fails is a setback for our own account only where
// it was sent for its sake.
const (
	forOurs   = true
	forOthers = false
)

// terms returns what is known of upstream, or asks it: one ping for all who wait.
func (c *Cache) terms(ctx context.Context) (*terms, error) {
	if known := c.known.Load(); known != nil {
		return known, nil
	}
	if err := c.gate(ctx); err != nil {
		return nil, err
	}
	return c.pings.Do(ctx, forOurs, func(ctx context.Context) (*terms, error) {
		generation := c.generations.Add(1)
		learnt, err := c.learn(ctx)
		if err != nil {
			c.settle(ctx, generation, nil, err)
		}
		return learnt, err
	})
}

// learn asks for what is not known yet.
func (c *Cache) learn(ctx context.Context) (*terms, error) {
	if known := c.known.Load(); known != nil {
		return known, nil
	}
	learnt, err := c.ping(ctx)
	if err == nil {
		c.known.Store(learnt)
	}
	return learnt, err
}

// confirmed asks for upstream's terms again when what they named was no token
// service, or not one to be trusted: upstream may have been reconfigured. Until
// then the old ones stay, for tokens that are held work on.
func (c *Cache) confirmed(ctx context.Context, t *terms) (*terms, error) {
	if !c.doubt.Load() {
		return t, nil
	}
	learnt, err := c.ping(ctx)
	if err != nil {
		return nil, err
	}
	c.known.Store(learnt)
	c.doubt.Store(false)
	if learnt.scheme != t.scheme {
		return nil, c.unavailable("upstream has changed how it wants to be authenticated to")
	}
	return learnt, nil
}

// misplaced tells errors after which the terms are in doubt.
func misplaced(err error) bool {
	var (
		elsewhere   *RealmError
		unavailable *UnavailableError
	)
	return errors.As(err, &elsewhere) || errors.As(err, &unavailable) && unavailable.misplaced
}

// ping is GET /v2/ (end-1) without Authorization: the one request whose challenge
// Harbor answers honestly.
func (c *Cache) ping(ctx context.Context) (*terms, error) {
	answer, err := c.get(ctx, c.v2(), Credentials{})
	switch {
	case err != nil:
		return nil, err
	case answer.status == http.StatusOK:
		return new(terms), nil
	case answer.status != http.StatusUnauthorized:
		return nil, c.unexpected(answer, "GET /v2/")
	}
	learnt, ok := termsOf(ParseChallenges(answer.header))
	if !ok {
		return nil, c.unavailable("GET /v2/ answered 401 without a Bearer or Basic challenge; is this the registry's address?")
	}
	return learnt, nil
}

// prove asks GET /v2/ with Basic whether the credential is accepted: the honest
// question where no token service stands between.
func (c *Cache) prove(ctx context.Context, creds Credentials) (accepted bool, err error) {
	answer, err := c.get(ctx, c.v2(), creds)
	switch {
	case err != nil:
		return false, err
	case answer.status == http.StatusOK:
		return true, nil
	case answer.status == http.StatusUnauthorized:
		return false, nil
	}
	return false, c.unexpected(answer, "GET /v2/ with Basic")
}

func (c *Cache) v2() *url.URL {
	return &url.URL{Scheme: c.registry.Scheme, Host: c.registry.Host, Path: "/v2/"}
}

// realm is where tokens are asked for: token_url, or the realm of the challenge
// if it has upstream's own origin or a listed one.
func (c *Cache) realm(t *terms) (*url.URL, error) {
	if c.tokenURL != nil {
		return c.tokenURL, nil
	}
	realm, err := url.Parse(t.realm)
	if err == nil && realm.User == nil {
		if SameOrigin(realm, c.registry) {
			return realm, nil
		}
		for _, listed := range c.realms {
			if SameOrigin(realm, listed) {
				return realm, nil
			}
		}
	}
	return nil, &RealmError{Upstream: c.origin, Realm: printable(t.realm)}
}

// SameOrigin compares scheme, host and port (RFC 6454 §5).
func SameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) &&
		strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case strings.EqualFold(u.Scheme, "https"):
		return "443"
	case strings.EqualFold(u.Scheme, "http"):
		return "80"
	}
	return ""
}

// absolute checks a URL of the configuration.
func absolute(u *url.URL) error {
	if u == nil || u.Hostname() == "" || portOf(u) == "" ||
		!strings.EqualFold(u.Scheme, "http") && !strings.EqualFold(u.Scheme, "https") {
		return fmt.Errorf("want an absolute http or https URL")
	}
	if u.User != nil {
		return fmt.Errorf("a URL must not hold a user name or a password")
	}
	return nil
}
