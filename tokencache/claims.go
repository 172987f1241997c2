package tokencache

import "github.com/golang-jwt/jwt/v5"

// claims are what a token says of itself, as far as they matter here: whom it
// names and what it grants (Docker token specification, "access" claim).
type claims struct {
	jwt.RegisteredClaims
	Access []Scope `json:"access"` // nil where the claim is absent or null
}

// claimsOf decodes a token without checking its signature: it comes from the
// token service itself over our own connection, and is read to learn what we were
// granted, never to decide about a client. A token that is no JWT is opaque.
func claimsOf(token string) (c claims, opaque bool) {
	if _, _, err := jwt.NewParser().ParseUnverified(token, &c); err != nil {
		return claims{}, true
	}
	return c, false
}

// grantsNothing reports whether no action at all is granted.
func (c claims) grantsNothing() bool {
	for _, s := range c.Access {
		if len(s.Actions) > 0 {
			return false
		}
	}
	return true
}
