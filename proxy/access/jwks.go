package access

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

const (
	mostKeys = 100
	leastRSA = 2048 // bits (RFC 7518 §3.3)
)

type publicKey = jose.JSONWebKey

// parseKeys reads a JWK set (RFC 7517 §5). Keys that verify no signature, or are too
// weak, or of a kind that is not known, are passed over.
func parseKeys(document []byte) ([]publicKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, fmt.Errorf("the keys are not a JWK set: %w", err)
	}
	if len(set.Keys) > mostKeys {
		return nil, fmt.Errorf("the JWK set holds %d keys: at most %d are read", len(set.Keys), mostKeys)
	}
	var keys []publicKey
	for _, raw := range set.Keys {
		var key publicKey
		if json.Unmarshal(raw, &key) == nil && len(methods(key)) > 0 {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the JWK set holds no public key that verifies signatures: RSA of 2048 to 4096 bits, EC, or Ed25519")
	}
	return keys, nil
}

// methods are the algorithms whose signatures the key verifies: those of its kind and
// curve (RFC 7518 §3.1, RFC 8037 §3.1), or of them the one that it is for.
func methods(key publicKey) []string {
	if !key.Valid() || key.Use != "" && key.Use != "sig" {
		return nil
	}
	var fit func(algorithm string) bool
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		fit = func(algorithm string) bool {
			return public.N.BitLen() >= leastRSA && (strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS"))
		}
	case *ecdsa.PublicKey:
		curves := map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"} // RFC 7518 §3.4
		fit = func(algorithm string) bool { return algorithm == curves[public.Params().Name] }
	case ed25519.PublicKey:
		fit = func(algorithm string) bool { return algorithm == "EdDSA" }
	default: // a private or a shared key, which nobody should have been told
		return nil
	}
	return slices.DeleteFunc(slices.Clone(algorithms), func(algorithm string) bool {
		return !fit(algorithm) || key.Algorithm != "" && key.Algorithm != algorithm
	})
}

// signatory is the one key that a token's header can mean (RFC 7515 §4.1.4). Without
// a key id it is one only if no other is of that kind.
func signatory(keys []publicKey, token *jwt.Token) (publicKey, bool) {
	id, _ := token.Header["kid"].(string)
	var found []publicKey
	for _, key := range keys {
		if (id == "" || key.KeyID == id) && slices.Contains(methods(key), token.Method.Alg()) {
			found = append(found, key)
		}
	}
	if len(found) != 1 {
		return publicKey{}, false
	}
	return found[0], true
}
