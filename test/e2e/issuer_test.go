//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// audience is what the tokens of these tests are made for.
const audience = "breakwater"

// An issuer is an OpenID provider as a Kubernetes API server is one: it shows its keys
// over TLS, to who has a token of its own.
type issuer struct {
	*httptest.Server
	key    *ecdsa.PrivateKey
	bearer string // without which nothing is shown
}

func startIssuer(t *testing.T, a *authority, bearer string) *issuer {
	t.Helper()
	i := &issuer{key: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t), bearer: bearer}
	cert := a.issue(t, server("127.0.0.1"))
	i.Server = httptest.NewUnstartedServer(http.HandlerFunc(i.show))
	i.TLS = &tls.Config{Certificates: []tls.Certificate{must(tls.X509KeyPair(cert.cert, cert.key))(t)}}
	i.StartTLS()
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) show(w http.ResponseWriter, r *http.Request) {
	var document any
	switch {
	case r.Header.Get("Authorization") != "Bearer "+i.bearer:
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	case r.URL.Path == "/.well-known/openid-configuration":
		document = map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/openid/v1/jwks", "response_types_supported": []string{"id_token"},
			"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"},
		}
	case r.URL.Path == "/openid/v1/jwks":
		document = i.keys()
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(document) // who asked has left
}

func (i *issuer) keys() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}}
}

// keysFile is the same as a file.
func (i *issuer) keysFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "jwks.json")
	mustDo(t, os.WriteFile(file, must(json.Marshal(i.keys()))(t), 0o600))
	return file
}

// token issues a token for a subject that ends in an hour, with those changes.
func (i *issuer) token(t *testing.T, subject string, changes ...func(jwt.MapClaims)) string {
	t.Helper()
	return i.signed(t, jwt.SigningMethodES256, i.key, i.claims(subject, changes...))
}

func (i *issuer) claims(subject string, changes ...func(jwt.MapClaims)) jwt.MapClaims {
	now := time.Now()
	claims := jwt.MapClaims{
		"iss": i.URL, "sub": subject, "aud": []string{audience},
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for _, change := range changes {
		change(claims)
	}
	return claims
}

func (i *issuer) signed(t *testing.T, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = "k1"
	return must(token.SignedString(key))(t)
}

// with changes a claim.
func with(claim string, value any) func(jwt.MapClaims) {
	return func(claims jwt.MapClaims) { claims[claim] = value }
}
