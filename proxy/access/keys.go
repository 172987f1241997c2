package access

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"breakwater/internal/flight"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"
)

const (
	keysLife  = time.Hour        // after which they are asked for anew, in the background
	keysPause = 10 * time.Second // between two questions, whatever tokens come
	keysLimit = 5 * time.Second  // for one question
	mostKeys  = 100
	leastRSA  = 2048 // bits (RFC 7518 §3.3)
)

// errUnknownKey says that the issuer has no such key.
var errUnknownKey = errors.New("no key of the issuer's is the one that the token names")

type publicKey = jose.JSONWebKey

// keys are an issuer's. Those in hand work on while it is down: that a key was taken
// back is not known before it is up again, as with any other of its clients.
type keys struct {
	issuer  Issuer
	life    *flight.Life
	flights *flight.Group[struct{}, []publicKey]
	changed func() // called when they are others than before
	log     *zap.Logger

	mu      sync.Mutex // guards the rest
	current []publicKey
	fetched time.Time // when current was
	tried   time.Time // when a question began last
	failed  error     // what the last question came to
}

// find returns the key that signed the token, if it says the truth. The error is
// errUnknownKey, ctx's own, or why the issuer's keys cannot be had.
func (k *keys) find(ctx context.Context, token *jwt.Token) (publicKey, error) {
	current, old := k.held()
	if key, ok := signatory(current, token); ok {
		if old {
			k.life.Start(func() { _, _ = k.flights.Do(k.life.Context(), struct{}{}, k.ask) }) // it logs what fails
		}
		return key, nil
	}
	if k.issuer.JWKS != nil {
		return publicKey{}, errUnknownKey
	}
	current, err := k.flights.Do(ctx, struct{}{}, k.ask)
	if err != nil {
		return publicKey{}, err
	}
	if key, ok := signatory(current, token); ok {
		return key, nil
	}
	return publicKey{}, errUnknownKey
}

// held are the keys in hand, and whether they should be asked for anew.
func (k *keys) held() (current []publicKey, old bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current, k.issuer.JWKS == nil && time.Since(k.fetched) >= keysLife && time.Since(k.tried) >= keysPause
}

// signatory is the one key that a token's header can mean. Without a key id it is one
// only if no other is of that kind.
func signatory(keys []publicKey, token *jwt.Token) (publicKey, bool) {
	id, _ := token.Header["kid"].(string)
	algorithm, _ := token.Header["alg"].(string)
	var found []publicKey
	for _, key := range keys {
		if (id == "" || key.KeyID == id) && (key.Algorithm == "" || key.Algorithm == algorithm) && signs(key, algorithm) {
			found = append(found, key)
		}
	}
	if len(found) != 1 {
		return publicKey{}, false
	}
	return found[0], true
}

// signs tells whether signatures of the algorithm are made with that kind of key.
func signs(key publicKey, algorithm string) bool {
	switch key.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		return strings.HasPrefix(algorithm, "ES")
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}

// reload reads the file, or lets the issuer be asked at the next use.
func (k *keys) reload() error {
	if k.issuer.JWKS == nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.fetched, k.tried = time.Time{}, time.Time{}
		return nil
	}
	document, err := k.issuer.JWKS()
	if err != nil {
		return err
	}
	read, err := parseKeys(document)
	if err != nil {
		return err
	}
	k.put(read)
	return nil
}

func (k *keys) put(read []publicKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !reflect.DeepEqual(k.current, read) {
		k.changed()
	}
	k.current, k.fetched, k.failed = read, time.Now(), nil
}

// ask is the work of a flight: the issuer is asked for its keys, unless it just was.
func (k *keys) ask(ctx context.Context) ([]publicKey, error) {
	k.mu.Lock()
	if time.Since(k.tried) < keysPause {
		defer k.mu.Unlock()
		return k.current, k.failed
	}
	k.tried = time.Now()
	k.mu.Unlock()

	limited, cancel := context.WithTimeout(ctx, keysLimit)
	defer cancel()
	read, err := k.fetch(limited)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	k.mu.Lock()
	before := k.failed
	k.failed = err
	k.mu.Unlock()
	switch {
	case err != nil && before == nil:
		k.log.Error("the issuer's keys cannot be had: tokens are verified by those in hand, if there are any", zap.Error(err))
	case err == nil && before != nil:
		k.log.Info("the issuer's keys can be had again")
	}
	if err != nil {
		return nil, err
	}
	k.put(read)
	return read, nil
}

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
		if json.Unmarshal(raw, &key) == nil && verifies(key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the JWK set holds no public key that verifies signatures: RSA of 2048 bits and more, EC, or Ed25519")
	}
	return keys, nil
}

func verifies(key publicKey) bool {
	if !key.Valid() || key.Use != "" && key.Use != "sig" {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= leastRSA
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}
