package tokencache

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"breakwater/internal/redact"
)

// bearer is the [http.RoundTripper] of [Options].BearerToken: there is no exchange,
// each request carries the token that is in the file now (RFC 6750 §2.1). What
// upstream says to it counts for the credential as exchanges do elsewhere.
type bearer struct {
	cache *Cache
	next  http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (b *bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	return closing(req, b.roundTrip)
}

// roundTrip sends the request, and once more where it was refused with a token that
// has been replaced meanwhile.
func (b *bearer) roundTrip(req *http.Request) (resp *http.Response, sent bool, err error) {
	c, ctx := b.cache, req.Context()
	if err := c.placed(req.URL); err != nil {
		return nil, false, err
	}
	if err := c.gate(ctx); err != nil {
		return nil, false, err
	}
	for {
		creds, err := c.credentials()
		if err != nil {
			return nil, sent, c.unreadable(err)
		}
		generation := c.generations.Add(1)
		outgoing, err := prepared(req, authorizationOf(creds), sent)
		if err != nil {
			return nil, sent, err
		}
		again := sent
		sent = true
		resp, err := b.next.RoundTrip(outgoing)
		switch {
		case err != nil:
			return nil, sent, err
		case resp.StatusCode != http.StatusUnauthorized:
			if resp.StatusCode < http.StatusInternalServerError { // an upstream that cannot tell says 503
				c.settle(ctx, generation, &creds, nil)
			}
			resp.Request = req // not the one that holds the token
			return resp, sent, nil
		}
		_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be used again
		_ = resp.Body.Close()
		if now, err := c.credentials(); again || !repeatable(req) || err != nil || now == creds {
			refused := &CredentialError{Upstream: c.origin, Account: creds.Username}
			c.settle(ctx, generation, &creds, refused)
			return nil, sent, refused
		}
	}
}

func authorizationOf(creds Credentials) redact.Secret {
	return redact.Secret(schemeBearer + " " + creds.Password.Reveal())
}

// bearerAccount stands for the account of a token that does not say whose it is.
const bearerAccount = "the bearer token"

// fromToken makes credentials of a token: its account, for whoever reads the log, is
// the subject that it names. That is not verified, for it is our own.
func fromToken(read func() (redact.Secret, error)) func() (Credentials, error) {
	return func() (Credentials, error) {
		token, err := read()
		if err != nil {
			return Credentials{}, err
		}
		if value := token.Reveal(); value == "" || len(value) > longestToken || strings.ContainsFunc(value, notVisible) {
			return Credentials{}, errors.New("the bearer token is empty, too long, or holds what no token does (RFC 6750 §2.1)")
		}
		account := bearerAccount
		if said, opaque := claimsOf(token.Reveal()); !opaque && said.Subject != "" {
			account = said.Subject
		}
		return Credentials{Username: account, Password: token}, nil
	}
}
