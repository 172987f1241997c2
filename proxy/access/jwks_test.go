package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

func newECKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// weakKey is an RSA key as none should be made any more.
func weakKey(t *testing.T) *rsa.PublicKey {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

func TestKeysThatVerifyNothingArePassedOver(t *testing.T) {
	good := newECKey(t, elliptic.P256())
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		key  jose.JSONWebKey
		want string // its algorithms
	}{
		"EC":                   {jose.JSONWebKey{Key: &good.PublicKey}, "[ES256]"},
		"EC of another curve":  {jose.JSONWebKey{Key: &newECKey(t, elliptic.P384()).PublicKey}, "[ES384]"},
		"RSA":                  {jose.JSONWebKey{Key: &strong.PublicKey}, "[RS256 RS384 RS512 PS256 PS384 PS512]"},
		"RSA for one":          {jose.JSONWebKey{Key: &strong.PublicKey, Algorithm: "PS384", Use: "sig"}, "[PS384]"},
		"for encryption":       {jose.JSONWebKey{Key: &strong.PublicKey, Use: "enc"}, "[]"},
		"for encryption by":    {jose.JSONWebKey{Key: &strong.PublicKey, Algorithm: "RSA-OAEP"}, "[]"},
		"for another curve":    {jose.JSONWebKey{Key: &good.PublicKey, Algorithm: "ES384"}, "[]"},
		"a shared secret":      {jose.JSONWebKey{Key: []byte("a shared secret"), Algorithm: "HS256"}, "[]"},
		"a secret for another": {jose.JSONWebKey{Key: []byte("a shared secret"), Algorithm: "ES256"}, "[]"},
		"a private key":        {jose.JSONWebKey{Key: good}, "[]"},
		"a weak key":           {jose.JSONWebKey{Key: weakKey(t)}, "[]"},
	} {
		document, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{test.key, {Key: &good.PublicKey, KeyID: "another"}}})
		if err != nil {
			t.Fatal(err)
		}
		keys, err := parseKeys(document)
		if err != nil {
			t.Fatal(err)
		}
		got := "[]"
		if len(keys) == 2 {
			got = fmt.Sprint(methods(keys[0]))
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestOneKeyMadeTheSignature(t *testing.T) {
	key := func(id, algorithm string, curve elliptic.Curve) jose.JSONWebKey {
		return jose.JSONWebKey{Key: &newECKey(t, curve).PublicKey, KeyID: id, Algorithm: algorithm}
	}
	keys := []jose.JSONWebKey{
		key("a", "", elliptic.P256()), key("b", "", elliptic.P256()), key("b", "", elliptic.P384()),
		key("twice", "", elliptic.P256()), key("twice", "", elliptic.P256()), key("", "", elliptic.P521()),
	}
	for _, test := range []struct {
		id        any
		algorithm string
		want      int // of keys; -1: none
	}{
		{"a", "ES256", 0},
		{"a", "ES384", -1},
		{"A", "ES256", -1},
		{"b", "ES256", 1},
		{"b", "ES384", 2},
		{"twice", "ES256", -1},
		{nil, "ES256", -1},
		{nil, "ES384", 2},
		{"", "ES512", 5},
		{7, "ES512", 5},
		{"a", "HS256", -1},
		{"a", "none", -1},
	} {
		token := jwt.New(jwt.GetSigningMethod(test.algorithm))
		token.Header["kid"] = test.id
		found, ok := signatory(keys, token)
		if ok != (test.want >= 0) || ok && found.Key != keys[test.want].Key {
			t.Errorf("kid %v, alg %s: %v %v, want the key %d", test.id, test.algorithm, found.KeyID, ok, test.want)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	for _, seed := range []string{
		`{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		`{"keys":[{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{"kty":"oct","k":"c2VjcmV0"}]}`,
		`{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB","alg":"RS256"},null,7,{}]}`, `{"keys":{}}`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, document []byte) {
		keys, err := parseKeys(document)
		if err == nil && (len(keys) == 0 || len(keys) > mostKeys) {
			t.Errorf("%d keys", len(keys))
		}
		for _, key := range keys {
			if !key.IsPublic() || len(methods(key)) == 0 {
				t.Errorf("a key that verifies nothing: %v", key)
			}
		}
	})
}
