package proxy

import (
	"context"
	"hash/maphash"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"breakwater/blobcache/index"
	"breakwater/internal/flight"
	"breakwater/proxy/registry"
	"breakwater/proxy/route"
	"breakwater/tokencache"

	"golang.org/x/sync/semaphore"
)

// Upstream is who is asked: [breakwater/proxy/upstream.Client].
type Upstream interface {
	Name() string
	URL() *url.URL
	// Reading returns the RoundTripper for one read.
	Reading(registry.Request) http.RoundTripper
	// TokenService tells whether Grant tells of a right: else only an answer to a read does.
	TokenService() bool
	// Grant asks the token service what our account may do now.
	Grant(context.Context, tokencache.Scope) (tokencache.Grant, error)
	// Distrust drops the token that is held for a right that was found to be gone.
	Distrust(tokencache.Scope)
	// Exchanged tells as of when a right is proven by the token that is held.
	Exchanged(tokencache.Scope) time.Time
	// Held tells all that is known of a right without asking.
	Held(tokencache.Scope) tokencache.Holding
}

// Origin is one upstream, and how long its word holds.
type Origin struct {
	Upstream Upstream
	Policy   Policy
}

// origin is an origin server (RFC 9110 §3.6) and all that is known of it, beside what
// is held: what was refused, is in doubt, is being asked. Names are upstream's own here.
// What ails one of several upstreams leaves the others alone.
type origin struct {
	*Proxy
	Origin
	key   string      // as links name it
	level atomic.Bool // it has answered as a Breakwater does

	life       *flight.Life
	background *background // questions
	accesses   *background // questions whether our account may pull
	completing *background // transfers that nobody waits for
	checks     *flight.Group[byWay[tagKey], checked]
	proofs     *flight.Group[byWay[pair], proof]
	fetches    *flight.Group[byWay[pair], fetched]
	suspicions suspicions
	turns      *semaphore.Weighted // for questions that refusals cause

	refused     *recent[error]    // by tag or digest of a repository
	referrers   *recent[list]     // empty lists, by path and query
	accessAsked *recent[struct{}] // by repository
	reported    *recent[struct{}] // by manifest of a repository
	touched     *recent[struct{}] // by manifest
	listed      *recent[string]   // platform by an index's manifest
	platforms   *recent[struct{}] // that clients asked for
	seed        maphash.Seed      // spreads pull reports
}

func (p *Proxy) newOrigin(o Origin) *origin {
	life := flight.NewLife()
	return &origin{
		Proxy: p, Origin: o, key: originOf(o.Upstream.URL()),
		life: life, background: newBackground(life), accesses: newBackground(life), completing: newBackground(life),
		checks:     flight.NewGroup[byWay[tagKey], checked](life),
		proofs:     flight.NewGroup[byWay[pair], proof](life),
		fetches:    flight.NewGroup[byWay[pair], fetched](life),
		suspicions: suspicions{held: make(map[suspicion]struct{}), revoked: make(map[index.Repository]struct{})}, turns: semaphore.NewWeighted(askingAtOnce),
		refused: newRecent[error](), referrers: newRecent[list](),
		accessAsked: newRecent[struct{}](), reported: newRecent[struct{}](), touched: newRecent[struct{}](),
		listed: newRecent[string](), platforms: newRecent[struct{}](), seed: maphash.MakeSeed(),
	}
}

// originOf writes scheme, host and port, the port always, so that one upstream has
// one name.
func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return strings.ToLower(u.Scheme) + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// settings are those of the route that leads closest to a repository.
func (o *origin) settings(repo index.Repository) route.Route {
	settings, _ := o.Routes.Of(o.Upstream.Name(), repo.Name) // a repository was found by a route
	return settings
}
