package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"breakwater/internal/redact"
)

const (
	largestKeys = 1 << 20 // bytes of an issuer's answer
	longestURI  = 2 << 10 // bytes
)

// fetch is discovery (OpenID Connect Discovery 1.0 §4; Kubernetes, "Service account
// issuer discovery"), and then the keys.
func (k *keys) fetch(ctx context.Context) ([]publicKey, error) {
	made, err := k.issuer.Client()
	if err != nil {
		return nil, err
	}
	defer made.CloseIdleConnections()
	client := *made
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	var shown redact.Secret
	if k.issuer.BearerToken != nil {
		if shown, err = k.issuer.BearerToken(); err != nil {
			return nil, err
		}
	}
	document, err := ask(ctx, &client, strings.TrimSuffix(k.issuer.Issuer, "/")+"/.well-known/openid-configuration", shown)
	if err != nil {
		return nil, err
	}
	var provider struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(document, &provider); err != nil {
		return nil, fmt.Errorf("its openid-configuration is not JSON: %w", err)
	}
	if provider.Issuer != k.issuer.Issuer { // OpenID Connect Discovery 1.0 §4.3
		return nil, fmt.Errorf("its openid-configuration is that of the issuer %.*q: write that as issuer, if it is the iss of the tokens", longestInLogs, provider.Issuer)
	}
	where, err := k.location(provider.JWKSURI, shown != "")
	if err != nil {
		return nil, err
	}
	if document, err = ask(ctx, &client, where, shown); err != nil {
		return nil, err
	}
	return parseKeys(document)
}

// location is where the keys are asked for. Whoever has to show a token is asked at
// the issuer's own origin, where the token belongs: an API server of Kubernetes names
// itself there by an address of which nobody else need know.
func (k *keys) location(jwksURI string, shown bool) (string, error) {
	own, err := url.Parse(k.issuer.Issuer)
	if err != nil {
		return "", err
	}
	where, err := url.Parse(jwksURI)
	switch {
	case err != nil || len(jwksURI) > longestURI || where.Host == "" || where.User != nil: // a user may come with a password
		return "", errors.New("its jwks_uri is no URL of a host, or too long, or names a user")
	case where.Scheme != "https" && where.Scheme != own.Scheme:
		return "", fmt.Errorf("its jwks_uri is not https: %s", redact.URL(where))
	}
	if shown {
		where.Scheme, where.Host = own.Scheme, own.Host
	}
	return where.String(), nil
}

// ask asks for a JSON document. The error names where, and nothing of the answer.
func ask(ctx context.Context, client *http.Client, where string, shown redact.Secret) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	if shown != "" {
		req.Header.Set("Authorization", "Bearer "+shown.Reveal())
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %.*s", redact.URL(req.URL), longestInLogs, errors.Unwrap(err)) // without the URL, which http puts in front
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %d %s", redact.URL(req.URL), resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	document, err := io.ReadAll(io.LimitReader(resp.Body, largestKeys+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("GET %s: %.*s", redact.URL(req.URL), longestInLogs, err)
	case len(document) > largestKeys:
		return nil, fmt.Errorf("GET %s: more than %d bytes", redact.URL(req.URL), largestKeys)
	}
	return document, nil
}
