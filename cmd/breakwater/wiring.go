package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"breakwater/blobcache"
	"breakwater/config"
	"breakwater/internal/redact"
	"breakwater/metrics"
	"breakwater/proxy"
	"breakwater/proxy/upstream"
	"breakwater/tokencache"

	"go.uber.org/zap"
)

// assemble builds one instance from its configuration. It is the only place
// that knows every part; nothing is started and nothing asked of the network.
// The cache's folder is taken, for which ctx bounds the waiting.
func assemble(ctx context.Context, c config.Config, log *zap.Logger) (*instance, error) {
	files := config.Watch(c.Files()) // before they are read below, so that no change falls between
	counts := metrics.New(version, slices.Sorted(maps.Keys(c.Upstreams))...)
	cache, err := openCache(ctx, c.Cache, counts, log)
	if err != nil {
		return nil, err
	}
	upstreams, err := newUpstreams(c.Upstreams, counts, log)
	if err != nil {
		return nil, errors.Join(err, cache.Close())
	}
	doors, err := openDoors(c.Listeners, upstreams, counts, log)
	if err != nil {
		return nil, errors.Join(err, closeUpstreams(upstreams), cache.Close())
	}
	counts.WatchCache(func() metrics.Held { return held(cache) })
	table := c.Table()
	registry := proxy.New(proxy.Options{
		Routes:    table,
		Origins:   origins(upstreams),
		Cache:     cache,
		UserAgent: "breakwater/" + version,
		Events:    counts,
		Log:       log,
	})
	i := &instance{
		grace:     c.ShutdownGrace.Duration,
		log:       log,
		registry:  registry,
		routes:    table,
		cache:     cache,
		dir:       cache.Dir(),
		upstreams: upstreams,
		files:     files,
		counts:    counts,

		watchEvery: 10 * time.Second,
	}
	for _, d := range doors {
		counts.WatchListener(string(d.Address))
		if d.certificate != nil {
			counts.WatchCertificate(string(d.Address), d.certificate.expires)
		}
		i.addDoor(d)
	}
	if c.Admin.Address != "" {
		i.addAdmin(string(c.Admin.Address), i.admin(counts.Handler()))
	}
	return i, nil
}

// openCache takes the folder and opens what is in it. A folder that nobody chose,
// in a home that is not there or not ours, is gone without.
func openCache(ctx context.Context, c config.Cache, events blobcache.Events, log *zap.Logger) (*blobcache.Cache, error) {
	options := blobcache.Options{
		Dir: c.Dir, MaxSize: int64(c.MaxSize), MinFreePercent: c.MinFree.Percent, MinFree: int64(c.MinFree.Size),
		LockWait: c.LockWait.Duration, Memory: int64(c.Memory), Events: events, Log: log,
	}
	cache, err := blobcache.Open(ctx, options)
	if c.Default && errors.Is(err, fs.ErrPermission) {
		log.Warn("cache.dir is not set, and the usual folder cannot be written: only manifests are kept, in memory; set cache.dir to a folder of Breakwater's own",
			zap.String("dir", c.Dir), zap.Error(err))
		events.Failed("open")
		options.Dir = ""
		cache, err = blobcache.Open(ctx, options)
	}
	return cache, err
}

// asked is an upstream, and the client that asks it.
type asked struct {
	config.Upstream
	client *upstream.Client
}

// newUpstreams builds the clients of all upstreams, in the order of their names.
func newUpstreams(configured map[string]config.Upstream, events upstream.Events, log *zap.Logger) ([]asked, error) {
	var all []asked
	for _, name := range slices.Sorted(maps.Keys(configured)) {
		client, err := newUpstream(configured[name], events, log)
		if err != nil {
			return nil, errors.Join(err, closeUpstreams(all))
		}
		all = append(all, asked{configured[name], client})
	}
	return all, nil
}

func closeUpstreams(all []asked) error {
	var err error
	for _, a := range all {
		err = errors.Join(err, a.client.Close())
	}
	return err
}

// origins are the upstreams as the road knows them.
func origins(all []asked) []proxy.Origin {
	var made []proxy.Origin
	for _, a := range all {
		made = append(made, proxy.Origin{Upstream: a.client, Policy: policy(a.Upstream)})
	}
	return made
}

// policy turns an upstream's configuration into how long what it said holds.
func policy(u config.Upstream) proxy.Policy {
	return proxy.Policy{
		StaleIfError: u.StaleIfError.Duration, AccessTTL: u.AccessTTL.Duration,
		DenialConfirm: u.DenialConfirm.Duration, RecordPull: u.RecordPull.Duration, ProxySettle: u.ProxySettle.Duration,
	}
}

// newUpstream turns an upstream's configuration into its client.
func newUpstream(u config.Upstream, events upstream.Events, log *zap.Logger) (*upstream.Client, error) {
	settings, err := upstreamTLS(u)
	if err != nil {
		return nil, err
	}
	realms := make([]*url.URL, len(u.Realms))
	for i, realm := range u.Realms {
		realms[i] = realm.URL
	}
	redirects := make([]netip.Prefix, len(u.Redirects))
	for i, network := range u.Redirects {
		redirects[i] = network.Prefix
	}
	var bearer func() (redact.Secret, error) // nil: tokens are exchanged for
	if u.BearerTokenFile != "" {
		bearer = u.BearerToken
	}
	client, err := upstream.New(upstream.Options{
		Name:        u.Name,
		URL:         u.URL.URL,
		BearerToken: bearer,
		Credentials: func() (tokencache.Credentials, error) {
			username, password, err := u.Credentials()
			return tokencache.Credentials{Username: username, Password: password}, err
		},
		TokenURL:  u.TokenURL.URL,
		Realms:    realms,
		TLS:       settings,
		Redirects: redirects,
		Proxy:     http.ProxyFromEnvironment,
		Events:    events,
		Log:       log.With(zap.String("upstream", u.Name)),
	})
	if err != nil {
		return nil, fmt.Errorf("upstreams.%s: %w", u.Name, err)
	}
	return client, nil
}
