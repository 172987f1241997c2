package access

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"breakwater/internal/flight"
	"breakwater/internal/redact"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"
)

// Issuer signs the tokens of some clients. Issuer, Audience, both claims and either
// JWKS or Client are required.
type Issuer struct {
	// Issuer is the iss of its tokens, letter for letter (RFC 7519 §4.1.1), and the
	// URL below which it tells of its keys (OpenID Connect Discovery 1.0 §4).
	Issuer string
	// Audience is what its tokens must be for (RFC 7519 §4.1.3).
	Audience string
	// JWKS returns a file of its keys (RFC 7517 §5); nil: the issuer is asked.
	JWKS func() ([]byte, error)
	// Client is made anew for each question, so that it trusts whom the files name
	// then. Whatever it says of redirects, none is followed.
	Client func() (*http.Client, error)
	// BearerToken is what the issuer wants to see before it tells of its keys, read
	// anew for each question; nil or "": nothing. It is sent nowhere else.
	BearerToken func() (redact.Secret, error)
	// OwnAPI tells audiences by which a token opens an API of the issuer's own, beside
	// the issuer itself; nil: none.
	OwnAPI func(audience string) bool
	// Prefix comes before its subjects and groups. Of several issuers each has one.
	Prefix string
	// SubjectClaim and GroupsClaim are the claims to take them from; groups are a
	// text or a list of texts, of which the first 200 count.
	SubjectClaim string
	GroupsClaim  string
}

const mostGroups = 200 // of one token: each is compared with each pattern of a policy

// issuer is one with its keys.
type issuer struct {
	Issuer
	keys   *keys
	parser *jwt.Parser
}

func newIssuer(i Issuer, life *flight.Life, changed func(), log *zap.Logger) *issuer {
	return &issuer{
		Issuer: i,
		keys:   newKeys(i, life, changed, log),
		parser: jwt.NewParser(jwt.WithValidMethods(algorithms), jwt.WithIssuer(i.Issuer), jwt.WithAudience(i.Audience),
			jwt.WithExpirationRequired(), jwt.WithLeeway(tokenLeeway)),
	}
}

// verify tells whose token it is by the key that signed it, and until when that may
// be relied on. The error is a [*Refusal].
func (i *issuer) verify(token redact.Secret, key publicKey) (Client, time.Time, error) {
	claims := jwt.MapClaims{}
	parsed, err := i.parser.ParseWithClaims(token.Reveal(), claims, func(*jwt.Token) (any, error) { return key.Key, nil })
	if err != nil {
		return Client{}, time.Time{}, i.refusal(claims, err)
	}
	if _, critical := parsed.Header["crit"]; critical { // RFC 7515 §4.1.11
		return Client{}, time.Time{}, badToken(errors.New("it has critical extensions"), "the token cannot be read: get another kind")
	}
	// A token that the issuer itself would take, as Kubernetes' API server does, must
	// not be shown around: whoever sees it could act there as its owner.
	if audience, err := claims.GetAudience(); err != nil || slices.ContainsFunc(audience, i.opens) {
		return Client{}, time.Time{}, badToken(fmt.Errorf("it opens the issuer's own API: its audience is %.*q", longestInLogs, fmt.Sprint(claims["aud"])),
			"the token opens %s itself, and so must not be sent to a registry: get one for the audience %q alone", i.Issuer.Issuer, i.Audience)
	}
	subject, _ := claims[i.SubjectClaim].(string)
	if !sendable(subject, longestUsername) {
		return Client{}, time.Time{}, badToken(fmt.Errorf("no subject in the claim %q", i.SubjectClaim), "the token names nobody in its claim %q", i.SubjectClaim)
	}
	expires, err := claims.GetExpirationTime()
	if err != nil {
		return Client{}, time.Time{}, badToken(err, "the token's expiry cannot be read")
	}
	until := time.Now().Add(verifiedTokenMemory)
	if end := expires.Add(tokenLeeway); end.Before(until) {
		until = end
	}
	return Client{Subject: i.Prefix + subject, Groups: i.groups(claims[i.GroupsClaim])}, until, nil
}

// opens tells whether a token for the audience opens an API of the issuer's own.
func (i *issuer) opens(audience string) bool {
	return audience == i.Issuer.Issuer || i.OwnAPI != nil && i.OwnAPI(audience)
}

// groups reads a claim that is one group or a list; what is neither is no group.
func (i *issuer) groups(claim any) []string {
	list, ok := claim.([]any)
	if !ok {
		list = []any{claim}
	}
	var groups []string
	for _, one := range list[:min(len(list), mostGroups)] {
		if group, ok := one.(string); ok && sendable(group, longestUsername) {
			groups = append(groups, i.Prefix+group)
		}
	}
	return groups
}

// refusal tells an honest client what to mend. Claims are judged only once the
// signature was found right, so that nobody learns by forged ones.
func (i *issuer) refusal(claims jwt.MapClaims, err error) *Refusal {
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return i.unsigned(err)
	case errors.Is(err, jwt.ErrTokenExpired):
		return badToken(fmt.Errorf("%w: it is %s", err, i.whose(claims)), "the token has expired: get a new one")
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return badToken(fmt.Errorf("%w: it is %s, for %.*q", err, i.whose(claims), longestInLogs, fmt.Sprint(claims["aud"])), "the token is for another audience: get one for %q", i.Audience)
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return badToken(err, "the token is not valid yet: look at the clocks")
	}
	return badToken(err, "the token is not good here: get one of %s for the audience %q", i.Issuer.Issuer, i.Audience)
}

// whose tells the log whom a token that was rightly signed names.
func (i *issuer) whose(claims jwt.MapClaims) string {
	return fmt.Sprintf("that of %.*q", longestInLogs, fmt.Sprint(claims[i.SubjectClaim]))
}

// unsigned does not say what is wrong with a signature.
func (i *issuer) unsigned(cause error) *Refusal {
	return badToken(cause, "the token is not signed by %s as it is now: get a new one", i.Issuer.Issuer)
}
