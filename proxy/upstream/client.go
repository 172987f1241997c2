package upstream

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"breakwater/internal/redact"
	"breakwater/proxy/registry"
	"breakwater/tokencache"

	"go.uber.org/zap"
)

// BodyIdle is how long a body may stand still before it is given up.
const BodyIdle = 60 * time.Second

// Events are what a Client tells metrics of.
type Events interface {
	// UpstreamAnswered counts one request that was sent, redirects followed.
	// status is 0 when no answer came.
	UpstreamAnswered(upstream, kind string, status int, took time.Duration)
	// TokenExchanged and CredentialChanged are those of [tokencache.Events].
	TokenExchanged(upstream, result string, took time.Duration)
	CredentialChanged(upstream, state string)
}

// tokenEvents tells which upstream's tokens an event is about.
type tokenEvents struct {
	upstream string
	events   Events
}

func (t tokenEvents) ExchangeDone(result string, took time.Duration) {
	t.events.TokenExchanged(t.upstream, result, took)
}

func (t tokenEvents) CredentialChanged(state string) { t.events.CredentialChanged(t.upstream, state) }

// Options of a [Client]. URL, Proxy, Events and Log are required; the zero
// value of the others means "none".
type Options struct {
	// Name is the upstream's name in the configuration, for logs and metrics.
	Name string
	// URL is upstream's scheme, host and port.
	URL *url.URL
	// Credentials are asked anew before each token exchange.
	Credentials func() (tokencache.Credentials, error)
	// BearerToken replaces Credentials where upstream is another Breakwater, or a
	// registry like it, that takes a token as it is: see [tokencache.Options]. Nothing
	// is asked there but the reads themselves.
	BearerToken func() (redact.Secret, error)
	// TokenURL replaces the challenge's realm; Realms are further origins that
	// a realm may have.
	TokenURL *url.URL
	Realms   []*url.URL
	// TLS verifies upstream and, with a client certificate in it, shows ours.
	TLS *tls.Config
	// Redirects are the private networks that a blob's redirect may lead to.
	Redirects []netip.Prefix
	// Proxy chooses an egress proxy: [http.ProxyFromEnvironment].
	Proxy func(*http.Request) (*url.URL, error)

	Events Events
	Log    *zap.Logger
}

// Client sends reads to one upstream. It is safe for use by many goroutines.
type Client struct {
	name   string
	url    *url.URL
	events Events
	proxy  proxyFunc
	guard  guard

	control, bodies named      // to upstream itself
	direct, proxied *transport // to where its redirects lead: no client certificate, no token
	tokens          *tokencache.Cache

	controlAuth, bodiesAuth http.RoundTripper // control and bodies, with tokens
}

// New returns a Client; it asks nothing of the network. Close ends its
// background work.
func New(o Options) (*Client, error) {
	if o.TLS == nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	c := &Client{name: o.Name, url: o.URL, events: o.Events, proxy: o.Proxy, guard: guard{o.Redirects}}
	guarded := func(network, address string, conn syscall.RawConn) error {
		if err := c.guard.dial(network, address, conn); err != nil {
			return refusedDial{err}
		}
		return nil
	}
	c.control = named{newTransport(o.TLS, builder(controlConns, true, o.Proxy, nil)), o.Name}
	c.bodies = named{newTransport(o.TLS, builder(bodyConns, false, o.Proxy, nil)), o.Name}
	c.direct = newTransport(withoutCertificate(o.TLS), builder(bodyConns, false, nil, guarded))
	c.proxied = newTransport(withoutCertificate(o.TLS), builder(bodyConns, false, o.Proxy, nil))

	health := c.Health
	if o.BearerToken != nil {
		health = nil // no Harbor, and no such page
	}
	tokens, err := tokencache.New(tokencache.Options{
		Registry: o.URL, Credentials: o.Credentials, BearerToken: o.BearerToken, TokenURL: o.TokenURL, Realms: o.Realms,
		Transport: c.control, Health: health, Events: tokenEvents{o.Name, o.Events}, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	o.Events.CredentialChanged(o.Name, tokencache.StateUnknown)
	c.tokens = tokens
	c.controlAuth, c.bodiesAuth = tokens.Transport(c.control), tokens.Transport(c.bodies)
	return c, nil
}

// withoutCertificate keeps the trusted authorities and drops what proves us.
func withoutCertificate(config *tls.Config) *tls.Config {
	config = config.Clone()
	config.Certificates, config.GetClientCertificate = nil, nil
	return config
}

// Name is the upstream's name in the configuration.
func (c *Client) Name() string { return c.name }

// URL is upstream's scheme, host and port.
func (c *Client) URL() *url.URL { return c.url }

// SetTLS makes new connections verify and identify by config, and upstream be
// asked at once where it was left alone for a while.
func (c *Client) SetTLS(config *tls.Config) {
	c.control.reload(config)
	c.bodies.reload(config)
	c.direct.reload(withoutCertificate(config))
	c.proxied.reload(withoutCertificate(config))
	c.tokens.Retry()
}

// Grant asks the token service what upstream lets our credentials do.
func (c *Client) Grant(ctx context.Context, scope tokencache.Scope) (tokencache.Grant, error) {
	return c.tokens.Grant(ctx, scope)
}

// TokenService tells whether Grant tells of a right: see [tokencache.Cache.TokenService].
func (c *Client) TokenService() bool { return c.tokens.TokenService() }

// Ask asks the token service what upstream lets somebody else's credentials do: see
// [tokencache.Cache.Ask].
func (c *Client) Ask(ctx context.Context, theirs tokencache.Credentials, scopes ...tokencache.Scope) (tokencache.Grant, error) {
	return c.tokens.Ask(ctx, theirs, scopes...)
}

// Distrust drops the token that is held for s: see [tokencache.Cache.Distrust].
func (c *Client) Distrust(s tokencache.Scope) { c.tokens.Distrust(s) }

// Exchanged tells as of when our right to s is proven: see [tokencache.Cache.Exchanged].
func (c *Client) Exchanged(s tokencache.Scope) time.Time { return c.tokens.Exchanged(s) }

// Held tells what is held for s, without asking: see [tokencache.Cache.Held].
func (c *Client) Held(s tokencache.Scope) tokencache.Holding { return c.tokens.Held(s) }

// Close ends background work and idle connections.
func (c *Client) Close() error {
	err := c.tokens.Close()
	for _, t := range []*transport{c.control.transport, c.bodies.transport, c.direct, c.proxied} {
		t.close()
	}
	return err
}

// Reading returns the RoundTripper for one read. Its errors are
// [UnreachableError], [RedirectError] and those of package tokencache; a 401
// that it answers was given to a fresh token. The answer never carries
// trailers.
func (c *Client) Reading(r registry.Request) http.RoundTripper {
	return reading{c, r.Kind, Scopes(r)}
}

// Scopes are what a token must grant for a read, in the words of the Docker
// token specification.
func Scopes(r registry.Request) []tokencache.Scope {
	switch {
	case r.Kind == registry.KindCatalog:
		return []tokencache.Scope{{Type: "registry", Name: "catalog", Actions: []string{"*"}}}
	case r.Name != "":
		return []tokencache.Scope{{Type: "repository", Name: r.Name, Actions: []string{"pull"}}}
	}
	return nil
}

func (c *Client) authenticated(kind registry.Kind) http.RoundTripper {
	if kind == registry.KindBlob {
		return c.bodiesAuth
	}
	return c.controlAuth
}

type reading struct {
	client *Client
	kind   registry.Kind
	scopes []tokencache.Scope
}

// RoundTrip implements [http.RoundTripper] for a GET or HEAD of upstream.
func (r reading) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(tokencache.WithScope(req.Context(), r.scopes...))
	req = req.WithContext(ctx)
	resp, err := retry(ctx, func() (*http.Response, error) { return r.attempt(req) })
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // why the caller gave up, in place of what that did to the connection
		}
		cancel(err)
		return nil, err
	}
	// A copy, so that trailers, which the transport adds to its own Response
	// when the body ends, reach nobody.
	answer := *resp
	answer.Trailer = nil
	answer.Body = &body{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, idle: BodyIdle}
	return &answer, nil
}

func (r reading) attempt(req *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := r.client.authenticated(r.kind).RoundTrip(req)
	if err == nil {
		resp, err = r.client.follow(req, r.kind, resp)
	}
	switch {
	case err == nil:
		r.client.events.UpstreamAnswered(r.client.name, r.kind.String(), resp.StatusCode, time.Since(began))
	case !tokensFault(err) && context.Cause(req.Context()) != context.Canceled:
		r.client.events.UpstreamAnswered(r.client.name, r.kind.String(), 0, time.Since(began))
	}
	// What was never sent, for want of a token, or was taken back by a client that
	// left, is no silence of upstream.
	return resp, err
}
