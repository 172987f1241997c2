package tokencache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"breakwater/internal/redact"
)

const (
	// The Docker token specification: 60 s where expires_in is absent.
	defaultLife = time.Minute
	longestLife = 24 * time.Hour
	// A token is not used in the last tenth of its life, 30 s at most: it must
	// still be good when the request that carries it arrives.
	longestMargin = 30 * time.Second
	// longestToken bounds what is kept for each of many keys. Harbor's nginx takes
	// some 8 kB of Authorization, others up to 32.
	longestToken = 32 << 10
)

// Results of one token exchange, as [Events] reports them.
const (
	ResultGranted     = "granted"     // a token that names us and grants something
	ResultNoGrant     = "no_grant"    // a token that names us and grants nothing
	ResultAnonymous   = "anonymous"   // asked with credentials, answered with nobody's token
	ResultRefused     = "refused"     // 401
	ResultUnavailable = "unavailable" // anything else
)

// errUnauthorized is the token service's 401. It stays inside: it is not the
// registry's 401, and what it means depends on the question.
var errUnauthorized = errors.New("the token service answered 401")

// A token is one Authorization, and what is known of it.
type token struct {
	authorization redact.Secret // "Bearer eyJ…" or "Basic …"
	generation    uint64        // exchanges are numbered as they begin
	exchanged     time.Time     // when its exchange began
	usable        time.Time     // until then, by our clock
	life          time.Duration // from receipt until usable
	grant         Grant
	noGrant       bool // no token at all: upstream knows us and grants nothing
}

// exchange asks the token service once with our own credentials. The error is ctx's
// own, errUnauthorized, a [*RealmError] or an [*UnavailableError].
func (c *Cache) exchange(ctx context.Context, t *terms, creds Credentials, scopes []Scope) (*token, error) {
	realm, err := c.realm(t)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	issued, err := c.issue(ctx, realm, t, creds, scopes)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	c.events.ExchangeDone(c.result(t, issued, scopes, err), time.Since(began))
	return issued, err
}

// issue asks the token service at the realm for a token (GET with Basic, the Docker
// token specification; Harbor answers 405 to the POST form). The error is ctx's own,
// errUnauthorized or an [*UnavailableError].
func (c *Cache) issue(ctx context.Context, realm *url.URL, t *terms, creds Credentials, scopes []Scope) (*token, error) {
	asked := *realm
	asked.Fragment = ""
	query := asked.Query()
	if t.service != "" {
		query.Set("service", t.service)
	}
	if creds.Username != "" {
		query.Set("account", creds.Username)
	}
	for _, s := range scopes {
		query.Add("scope", s.String())
	}
	asked.RawQuery = query.Encode()

	generation, began := c.generations.Add(1), time.Now()
	got, err := c.get(ctx, &asked, creds)
	if err != nil {
		return nil, err
	}
	issued, err := c.read(got, creds)
	if err != nil {
		return nil, err
	}
	issued.generation, issued.exchanged = generation, began
	issued.noGrant = t.harbor() && len(scopes) > 0 && issued.grant.Subject != "" && issued.grantsNothing()
	return issued, nil
}

// result names the outcome of an exchange.
func (c *Cache) result(t *terms, issued *token, scopes []Scope, err error) string {
	switch {
	case errors.Is(err, errUnauthorized):
		return ResultRefused
	case err != nil:
		return ResultUnavailable
	case issued.noGrant:
		return ResultNoGrant
	case issued.nobodys(t, scopes):
		return ResultAnonymous
	}
	return ResultGranted
}

// read turns the token service's answer into a token. Its life counts from now:
// only our own clock is compared with itself.
func (c *Cache) read(got *answer, creds Credentials) (*token, error) {
	switch got.status {
	case http.StatusOK:
	case http.StatusUnauthorized:
		return nil, errUnauthorized
	default:
		return nil, c.unexpected(got, "the token service")
	}
	var reply struct {
		Token       string  `json:"token"`
		AccessToken string  `json:"access_token"` // OAuth 2.0's name; at Harbor present and empty
		ExpiresIn   seconds `json:"expires_in"`
	}
	// The decoder's error is not shown: it may quote the answer.
	if json.Unmarshal(got.body, &reply) != nil {
		err := c.unavailable("the token service answered something that is not JSON (%s)", mediaType(got.header))
		err.misplaced = true
		return nil, err
	}
	value := reply.Token
	if value == "" {
		value = reply.AccessToken
	}
	if value == "" || strings.ContainsFunc(value, notVisible) {
		err := c.unavailable("the token service's answer holds no token")
		err.misplaced = true
		return nil, err
	}
	if len(value) > longestToken {
		return nil, c.unavailable("the token service's token has %d bytes: no registry takes so long a header", len(value))
	}
	life, now := reply.ExpiresIn.life(), time.Now()
	usable := life - min(life/10, longestMargin)
	said, opaque := claimsOf(value)
	return &token{
		authorization: redact.Secret(schemeBearer + " " + value),
		usable:        now.Add(usable),
		life:          usable,
		grant: Grant{
			Account: creds.Username, Subject: said.Subject, Access: said.Access,
			Opaque: opaque, ExpiresAt: now.Add(life),
		},
	}, nil
}

// notVisible keeps out of a header what RFC 6750 §2.1 does not allow in a token
// either: white space and control characters.
func notVisible(r rune) bool { return r <= ' ' || r > '~' }

// mediaType names what was sent without repeating more of it.
func mediaType(h http.Header) string {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return "of no known type"
	}
	return strconv.Quote(kind)
}

// seconds is expires_in as token services write it: a number, now and then in
// quotes. What makes no sense counts as absent, for the token itself may be good.
type seconds float64

func (s *seconds) UnmarshalJSON(text []byte) error {
	n, err := strconv.ParseFloat(string(bytes.Trim(text, `"`)), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		n = 0
	}
	*s = seconds(n)
	return nil
}

func (s seconds) life() time.Duration {
	switch n := float64(s); {
	case math.IsNaN(n) || n <= 0:
		return defaultLife
	case n >= longestLife.Seconds():
		return longestLife
	default:
		return time.Duration(n * float64(time.Second))
	}
}
