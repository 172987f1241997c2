package access

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"breakwater/internal/flight"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"
)

const (
	keysLife  = time.Hour        // after which they are asked for anew, in the background
	keysPause = 10 * time.Second // between two questions, whatever tokens come
	keysLimit = 5 * time.Second  // for one question
)

// errUnknownKey says that the issuer has no such key.
var errUnknownKey = errors.New("no one key of the issuer's is what the token's header means")

// keys are an issuer's. Those in hand work on while it is down: that a key was taken
// back is not known before it is up again, as with any other of its clients.
type keys struct {
	issuer  Issuer
	life    *flight.Life // owns the questions
	changed func()       // called when they are others than before
	log     *zap.Logger

	mu      sync.Mutex // guards the rest
	current []publicKey
	fetched time.Time     // when current was
	tried   time.Time     // when a question began last
	failed  error         // what the last question came to
	ended   chan struct{} // closed at the last question's end
}

func newKeys(i Issuer, life *flight.Life, changed func(), log *zap.Logger) *keys {
	k := &keys{issuer: i, life: life, changed: changed, log: log, ended: make(chan struct{})}
	close(k.ended)
	return k
}

// find returns the key that signed the token, if it says the truth. The error is
// errUnknownKey, ctx's own, or why the issuer's keys cannot be had.
func (k *keys) find(ctx context.Context, token *jwt.Token) (publicKey, error) {
	current, old := k.held()
	if key, ok := signatory(current, token); ok {
		if old {
			k.ask() // for those who come later
		}
		return key, nil
	}
	err := k.wait(ctx)
	if ctx.Err() != nil {
		return publicKey{}, ctx.Err()
	}
	current, _ = k.held()
	if key, ok := signatory(current, token); ok {
		return key, nil
	}
	if err != nil { // it may be the newest, which only the issuer knows
		return publicKey{}, err
	}
	return publicKey{}, errUnknownKey
}

// held are the keys in hand, and whether they should be asked for anew.
func (k *keys) held() (current []publicKey, old bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current, k.issuer.JWKS == nil && time.Since(k.fetched) >= keysLife
}

// wait asks the issuer, unless that was just done. The error is ctx's own, or what the
// last question came to; nil with keys of a file.
func (k *keys) wait(ctx context.Context) error {
	if k.issuer.JWKS != nil {
		return nil
	}
	select {
	case <-k.ask():
	case <-ctx.Done():
		return ctx.Err()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failed
}

// ask puts the question to the issuer, unless that was just done, and returns what is
// closed once it was answered. Everybody waits for the one question, and it is none of
// theirs: were it to end with whoever leaves, the next would find no answer and have
// to sit out the pause.
func (k *keys) ask() <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.ended:
	default:
		return k.ended
	}
	if time.Since(k.tried) < keysPause {
		return k.ended
	}
	ended := make(chan struct{})
	if !k.life.Start(func() { defer close(ended); k.question() }) {
		k.failed = flight.ErrClosed
		return k.ended
	}
	k.tried, k.ended = time.Now(), ended
	return ended
}

// question asks the issuer for its keys, and tells the operator once when that fails
// and once when it does no more.
func (k *keys) question() {
	ctx, cancel := context.WithTimeout(k.life.Context(), keysLimit)
	defer cancel()
	read, err := k.fetch(ctx)

	k.mu.Lock()
	before := k.failed
	k.failed = err
	if err == nil {
		k.take(read)
	}
	k.mu.Unlock()

	switch {
	case k.life.Context().Err() != nil: // it was we who ended it
	case err != nil && before == nil:
		k.log.Error("the issuer's keys cannot be had: tokens are verified by those in hand, if there are any", zap.Error(err))
	case err == nil && before != nil:
		k.log.Info("the issuer's keys can be had again")
	}
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
	k.mu.Lock()
	defer k.mu.Unlock()
	k.take(read)
	return nil
}

// take makes keys the current ones. The mutex must be held.
func (k *keys) take(read []publicKey) {
	if !reflect.DeepEqual(k.current, read) {
		k.changed()
	}
	k.current, k.fetched = read, time.Now()
}
