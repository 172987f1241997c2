package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"breakwater/internal/flight"
	"breakwater/internal/redact"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
)

const (
	longestJWT          = 16 << 10         // bytes; what is longer is not even looked at
	tokenLeeway         = 30 * time.Second // between an issuer's clock and ours
	verifiedTokenMemory = time.Minute      // of what was verified, never past its expiry
	refusedTokenMemory  = 5 * time.Second  // of what was refused
)

// algorithms are the signatures that are verified (RFC 7518 §3.1, RFC 8037 §3.1): by
// public keys only, so that no published key can be taken for a shared secret.
var algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// TokenOptions are what a [Token] needs. All but Log are required.
type TokenOptions struct {
	Issuers  []Issuer
	Listener string // its address as configured, for logs and metrics
	Events   Events
	Log      *zap.Logger // may be nil
}

// Token is the [Mode] of JSON Web Tokens (RFC 7519) that a trusted issuer signed for
// an audience of our own: a Kubernetes service account's, or another OpenID provider's.
// They come as Bearer (RFC 6750 §2.1), or as the password of Basic with any user name,
// which is what clients of registries can send.
type Token struct {
	options TokenOptions
	issuers map[string]*issuer
	// turns bounds how many signatures are verified at once: the rest of the
	// processors serves who is known.
	turns *semaphore.Weighted
	// age counts changes of keys: what was found out by older ones is not found again.
	age      atomic.Uint64
	verified *memory[Client]
	refused  *memory[*Refusal] // apart, so that forgeries drive out nobody
	life     *flight.Life
}

// NewToken reads the files of keys, and asks nothing of the network. The error names
// the issuer.
func NewToken(o TokenOptions) (*Token, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	t := &Token{
		options: o, issuers: make(map[string]*issuer), turns: semaphore.NewWeighted(int64(max(1, runtime.GOMAXPROCS(0)/2))),
		verified: newMemory[Client](), refused: newMemory[*Refusal](), life: flight.NewLife(),
	}
	if len(o.Issuers) == 0 {
		return nil, errors.New("no issuer is trusted")
	}
	for i, one := range o.Issuers {
		if one.Issuer == "" || one.Audience == "" || one.Audience == one.Issuer {
			return nil, fmt.Errorf("the issuer %q needs an audience other than itself", one.Issuer)
		}
		if _, twice := t.issuers[one.Issuer]; twice {
			return nil, fmt.Errorf("the issuer %s is given twice", one.Issuer)
		}
		if alike := slices.IndexFunc(o.Issuers[:i], func(other Issuer) bool {
			return strings.HasPrefix(one.Prefix, other.Prefix) || strings.HasPrefix(other.Prefix, one.Prefix)
		}); alike >= 0 {
			return nil, fmt.Errorf("the prefixes of %s and %s begin alike: one could name the other's subjects", one.Issuer, o.Issuers[alike].Issuer)
		}
		t.issuers[one.Issuer] = newIssuer(one, t.life, func() { t.age.Add(1) }, o.Log.With(zap.String("issuer", one.Issuer)))
	}
	if err := t.Reload(); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// Name implements [Mode].
func (t *Token) Name() string { return "token" }

// Challenge implements [Mode]: clients of registries send a token as the password of
// Basic. To a Bearer challenge they would look for a token service.
func (t *Token) Challenge() string { return Basic }

// Reload implements [Mode]: files of keys are read again, and the keys of other
// issuers asked for at their next use. Those whose file is not good keep their keys.
func (t *Token) Reload() error {
	var err error
	for _, one := range t.options.Issuers {
		if failed := t.issuers[one.Issuer].keys.reload(); failed != nil {
			err = errors.Join(err, fmt.Errorf("keys of %s: %w", one.Issuer, failed))
		}
	}
	return err
}

// Fetch asks every issuer for its keys, as the first token of each would make it. The
// error names the issuers whose keys cannot be had, and why.
func (t *Token) Fetch(ctx context.Context) error {
	var errs error
	for _, one := range t.options.Issuers {
		if err := t.issuers[one.Issuer].keys.wait(ctx); err != nil {
			errs = errors.Join(errs, fmt.Errorf("keys of %s: %w", one.Issuer, err))
		}
	}
	return errs
}

// Close implements [Mode]: it ends questions to issuers, and waits for them.
func (t *Token) Close() error {
	t.life.End()
	return nil
}

// Authenticate implements [Mode].
func (t *Token) Authenticate(ctx context.Context, r *http.Request) (Client, error) {
	c, given, ok := presented(r)
	switch {
	case !ok:
		return Client{}, badToken(errors.New("an Authorization that is neither Bearer nor Basic"), "log in with %s", t.wanted())
	case !given:
		return Client{}, unauthorized(NoCredentials, nil, "this registry wants a token: log in with %s", t.wanted())
	case len(c.secret) > longestJWT:
		return Client{}, badToken(fmt.Errorf("a token of %d bytes", len(c.secret)), "the token is too long: log in with %s", t.wanted())
	}
	print := t.verified.fingerprint(c.secret.Reveal(), strconv.FormatUint(t.age.Load(), 10))
	if client, ok := t.verified.get(print); ok {
		return client, nil
	}
	if refusal, ok := t.refused.get(print); ok {
		return Client{}, refusal
	}
	client, until, err := t.verify(ctx, c.secret)
	var refusal *Refusal
	switch {
	case err == nil:
		t.verified.put(print, client, until)
		t.options.Events.CredentialsChecked(t.options.Listener, Accepted)
	case errors.As(err, &refusal) && refusal.Why == BadCredentials:
		t.refused.put(print, refusal, time.Now().Add(refusedTokenMemory))
		t.options.Events.CredentialsChecked(t.options.Listener, Rejected)
	case errors.As(err, &refusal):
		t.options.Events.CredentialsChecked(t.options.Listener, Unknown)
	}
	return client, err
}

// verify tells whose token it is, and until when that may be relied on. An error is a
// [*Refusal] or ctx's own.
func (t *Token) verify(ctx context.Context, token redact.Secret) (Client, time.Time, error) {
	// Nothing of it is believed yet: whose keys to try is all that is read here.
	unverified, _, err := jwt.NewParser().ParseUnverified(token.Reveal(), jwt.MapClaims{})
	if err != nil {
		return Client{}, time.Time{}, badToken(fmt.Errorf("not a JWT: %.*s", longestInLogs, err), "this is not a token: log in with %s", t.wanted())
	}
	named, _ := unverified.Claims.GetIssuer() // "" is nobody's
	from, ok := t.issuers[named]
	if !ok {
		return Client{}, time.Time{}, badToken(fmt.Errorf("the issuer is %.*q", longestInLogs, named), "the token is of an issuer that this registry does not trust: log in with %s", t.wanted())
	}
	algorithm, id := unverified.Method.Alg(), unverified.Header["kid"]
	if !slices.Contains(algorithms, algorithm) { // no key can help
		return Client{}, time.Time{}, from.unsigned(fmt.Errorf("its alg is %s", algorithm))
	}
	key, err := from.keys.find(ctx, unverified)
	switch {
	case ctx.Err() != nil:
		return Client{}, time.Time{}, ctx.Err()
	case errors.Is(err, errUnknownKey):
		return Client{}, time.Time{}, from.unsigned(fmt.Errorf("%w: kid %.*q, alg %s", err, longestInLogs, fmt.Sprint(id), algorithm))
	case err != nil:
		return Client{}, time.Time{}, later(Unverifiable, int(keysPause.Seconds()), err, "the keys of %s cannot be had just now: try again", named)
	}
	if err := t.turns.Acquire(ctx, 1); err != nil {
		return Client{}, time.Time{}, err
	}
	defer t.turns.Release(1)
	return from.verify(token, key)
}

// wanted tells a client what to log in with.
func (t *Token) wanted() string {
	if len(t.options.Issuers) > 1 {
		return "any user name, and as the password a token of an issuer that this registry trusts"
	}
	one := t.options.Issuers[0]
	return fmt.Sprintf("any user name, and as the password a token of %s for the audience %q", one.Issuer, one.Audience)
}

// badToken's cause is for the log only; nothing of the token is in it but what
// an issuer would have put there, shortened.
func badToken(cause error, format string, args ...any) *Refusal {
	return unauthorized(BadCredentials, cause, format, args...)
}
