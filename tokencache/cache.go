package tokencache

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"breakwater/internal/flight"
	"breakwater/internal/redact"

	"go.uber.org/zap"
)

// Options say whose tokens a [Cache] keeps and how it comes by them.
type Options struct {
	// Registry is upstream's address; its scheme, host and port count.
	Registry *url.URL
	// Credentials is asked anew before each exchange, and while a credential is
	// refused by each request, so that a rotated secret is noticed. nil is
	// anonymous access.
	Credentials func() (Credentials, error)
	// BearerToken replaces Credentials where upstream takes a token as it is, such as
	// one of a Kubernetes service account, and has no token service. It is asked anew
	// for each request, so that a token that was replaced is noticed. nil: exchange.
	BearerToken func() (redact.Secret, error)
	// TokenURL replaces the realm of upstream's challenge; nil keeps it.
	TokenURL *url.URL
	// Realms lists further origins that a realm may have; credentials go there.
	Realms []*url.URL
	// Transport carries the ping and the token calls. It adds no credentials.
	Transport http.RoundTripper
	// Health returns nil when upstream says that it is well, and else why not.
	// nil: upstream cannot be asked.
	Health func(context.Context) error
	// Events may be nil.
	Events Events
	// Log may be nil.
	Log *zap.Logger
}

// Events are told what happens. They are called from many goroutines and must
// not block.
type Events interface {
	// ExchangeDone: the token service was asked once; result is one of the Result
	// constants.
	ExchangeDone(result string, took time.Duration)
	// CredentialChanged: state is one of the State constants.
	CredentialChanged(state string)
}

// A Cache keeps the tokens of one account at one upstream. Its methods may be
// called from many goroutines.
type Cache struct {
	registry    *url.URL
	origin      string // of registry, for messages
	credentials func() (Credentials, error)
	bearer      bool // credentials are a token, which is sent as it is
	tokenURL    *url.URL
	realms      []*url.URL
	transport   http.RoundTripper
	health      func(context.Context) error
	events      Events
	log         *zap.Logger

	life        *flight.Life
	known       atomic.Pointer[terms]
	doubt       atomic.Bool   // the token service that known names was none, last time
	generations atomic.Uint64 // of exchanges begun
	tokens      *tokens
	credential  credential
	trial       chan struct{} // holds one while unproven credentials are tried

	flights  *flight.Group[string, *token]
	pings    *flight.Group[bool, *terms] // see forOurs
	checkups *flight.Group[struct{}, struct{}]

	others *flight.Group[*Credentials, Grant]
	spared atomic.Pointer[time.Time] // until then the token service is asked about nobody else
}

// New checks the options. It sends nothing: upstream may be down at start.
func New(o Options) (*Cache, error) {
	if err := absolute(o.Registry); err != nil {
		return nil, fmt.Errorf("tokencache: Options.Registry: %w", err)
	}
	if o.TokenURL != nil {
		if err := absolute(o.TokenURL); err != nil {
			return nil, fmt.Errorf("tokencache: Options.TokenURL: %w", err)
		}
	}
	for i, realm := range o.Realms {
		if err := absolute(realm); err != nil {
			return nil, fmt.Errorf("tokencache: Options.Realms[%d]: %w", i, err)
		}
	}
	if o.Transport == nil {
		return nil, errors.New("tokencache: Options.Transport: required")
	}
	c := &Cache{
		registry: o.Registry, origin: strings.ToLower(o.Registry.Scheme + "://" + o.Registry.Host),
		credentials: o.Credentials, tokenURL: o.TokenURL, realms: o.Realms,
		transport: o.Transport, health: o.Health, events: o.Events, log: o.Log,
		life: flight.NewLife(), trial: make(chan struct{}, 1),
		credential: credential{state: StateUnknown},
	}
	switch {
	case o.BearerToken != nil:
		c.credentials, c.bearer = fromToken(o.BearerToken), true
		c.known.Store(new(terms)) // there is no token service to be learnt of
	case c.credentials == nil:
		c.credentials = func() (Credentials, error) { return Credentials{}, nil }
	}
	if c.events == nil {
		c.events = unheard{}
	}
	c.credential.report = c.events.CredentialChanged
	if c.log == nil {
		c.log = zap.NewNop()
	}
	c.tokens = newTokens(c.renewal)
	c.flights = flight.NewGroup[string, *token](c.life)
	c.pings = flight.NewGroup[bool, *terms](c.life)
	c.checkups = flight.NewGroup[struct{}, struct{}](c.life)
	c.others = flight.NewGroup[*Credentials, Grant](c.life)
	return c, nil
}

type unheard struct{}

func (unheard) ExchangeDone(string, time.Duration) {}
func (unheard) CredentialChanged(string)           {}

// Close ends every exchange and renewal under way and waits for them; requests
// that need a token afterwards get [ErrClosed]. Bodies being read are not touched.
func (c *Cache) Close() error {
	c.tokens.close()
	c.life.End()
	return nil
}

// token returns a token for the question whose exchange began after that
// generation (0: any that is held), from the cache or by one exchange for all
// who wait.
func (c *Cache) token(ctx context.Context, q question, after uint64) (*token, error) {
	got := c.tokens.held(q.key, after)
	if got == nil {
		if err := c.gate(ctx); err != nil {
			return nil, err
		}
	}
	// A flight that was under way before this call may bring too old a token; the
	// next one cannot.
	for got == nil || got.generation <= after {
		var err error
		if got, err = c.flights.Do(ctx, q.flight, c.obtain(q, after)); err != nil {
			return nil, err
		}
	}
	c.tokens.use(q.key)
	return got, nil
}

// obtain is the work of a flight: look again, read the credentials, exchange,
// judge, keep.
func (c *Cache) obtain(q question, after uint64) func(context.Context) (*token, error) {
	return func(ctx context.Context) (*token, error) {
		if held := c.tokens.held(q.key, after); held != nil {
			return held, nil
		}
		creds, err := c.credentials()
		if err != nil {
			return nil, c.unreadable(err)
		}
		c.tokens.belongTo(creds.Username)
		done, err := c.admit(ctx, creds)
		if err != nil {
			return nil, err
		}
		defer done()
		generation := c.generations.Add(1)
		got, err := c.judged(ctx, q, creds)
		if !c.aside(q, creds, err) {
			c.settle(ctx, generation, &creds, err)
		}
		if err != nil {
			return nil, err
		}
		c.tokens.put(q, got)
		return got, nil
	}
}

func (c *Cache) unreadable(err error) error {
	return c.unavailable("the credentials cannot be read: %v", err)
}

// aside tells failures that say nothing of the identity as a whole, so that one
// question of one client does not close the door for all: a registry that cannot
// tell just now whether it takes Basic for its catalog, where tokens are the
// rule; and a token service that refuses to speak of one scope to an account that
// it accepted before.
func (c *Cache) aside(q question, creds Credentials, err error) bool {
	var unavailable *UnavailableError
	if !errors.As(err, &unavailable) {
		return false
	}
	return q.key == basicKey && q.terms.scheme == schemeBearer || unavailable.scoped && c.credential.proven(creds)
}
