package doctor

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"slices"
	"time"

	"breakwater/proxy/upstream"
	"breakwater/tokencache"
)

// StepLimit bounds each step.
const StepLimit = 15 * time.Second

// Upstream is a registry to look at, and what is known of it. Name, URL, Client
// and Proxy are required.
type Upstream struct {
	Name    string
	URL     *url.URL
	Account string // user name there; "" is anonymous access
	// TokenURL is asked in place of the challenge's realm, unless it is nil.
	TokenURL *url.URL
	// Client is how pulls reach it. The first steps look below it, by Proxy and
	// TLS, which are the Client's own.
	Client *upstream.Client
	Proxy  func(*http.Request) (*url.URL, error)
	TLS    *tls.Config
	// UserAgent is sent upstream: "breakwater/1.2.3".
	UserAgent string
	// Repositories are to be pulled from: no right to do so is a failure. None:
	// one of each project that the account may list is looked at.
	Repositories []string
	// Served tells whether clients can pull a repository; others are not looked at
	// unless they were named. nil: all can be.
	Served func(repository string) bool
}

// Check looks at one upstream after the other and prints each step to r. It
// returns when all was tried, or soon after ctx ended.
func Check(ctx context.Context, r *Report, upstreams ...Upstream) {
	for _, u := range upstreams {
		v := &visit{Upstream: u, Report: r, transport: newTransport(u)}
		v.run(ctx)
		v.transport.CloseIdleConnections()
	}
}

// A visit is one upstream being looked at, and what was learnt of it so far.
type visit struct {
	Upstream
	*Report
	transport *http.Transport // bare: no credentials, no retries

	harbor  bool             // the challenge is Harbor's
	ill     bool             // Harbor's health page names a part that pulls need
	who     tokencache.Grant // whom a token without scope names
	refusal error            // why there is none
}

func (v *visit) run(ctx context.Context) {
	v.Section("upstream " + v.Name + ", " + v.URL.Scheme + "://" + v.URL.Host)
	first, ok := v.reach(ctx)
	if !ok {
		return
	}
	registry := v.challenge(ctx, first)
	v.health(ctx)
	if !registry {
		v.skip("the rest", "it does not answer as a registry")
		return
	}
	if !v.token(ctx) {
		v.skip("the rest", "it takes a token")
		return
	}
	v.account(ctx)
	if len(v.Repositories) > 0 {
		if !v.each(ctx, named(v.Repositories)) {
			return
		}
		// Last: what is to be served matters more.
		v.Section("catalog of " + v.Name)
		v.catalog(ctx)
		return
	}
	found := v.catalog(ctx)
	if v.Served != nil {
		found = slices.DeleteFunc(found, func(name string) bool { return !v.Served(name) })
	}
	if len(found) == 0 {
		v.Warn("rights", "no repository was looked at", "add --repository NAME, such as team-a/app, for each that is to be served")
	}
	v.each(ctx, oneOfEach(found))
}

// each looks at repositories. It reports whether ctx lasted until the end.
func (v *visit) each(ctx context.Context, candidates []candidate) bool {
	for _, c := range candidates {
		if ctx.Err() == nil {
			v.repository(ctx, c)
		}
	}
	if ctx.Err() != nil {
		v.Fail("the rest", "not tried: interrupted, or out of time", "")
		return false
	}
	return true
}

// step gives a step its time.
func step(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, StepLimit)
}
