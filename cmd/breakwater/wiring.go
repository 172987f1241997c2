package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"breakwater/blobcache"
	"breakwater/config"
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
	origin := only(c.Upstreams)
	counts := metrics.New(version, origin.Name)
	cache, err := openCache(ctx, c.Cache, counts, log)
	if err != nil {
		return nil, err
	}
	client, err := newUpstream(origin, counts, log)
	if err != nil {
		return nil, errors.Join(err, cache.Close())
	}
	doors, err := openDoors(c.Listeners, account{client, origin.Username}, counts, log)
	if err != nil {
		return nil, errors.Join(err, client.Close(), cache.Close())
	}
	counts.WatchCache(func() metrics.Held { return held(cache) })
	registry := proxy.New(proxy.Options{
		Upstream:  client,
		Cache:     cache,
		Policy:    policy(origin),
		UserAgent: "breakwater/" + version,
		Events:    counts,
		Log:       log,
	})
	i := &instance{
		grace:    c.ShutdownGrace.Duration,
		log:      log,
		registry: registry,
		cache:    cache,
		dir:      cache.Dir(),
		upstream: client,
		origin:   origin,
		files:    files,
		counts:   counts,

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

// policy turns an upstream's configuration into how long what it said holds.
func policy(u config.Upstream) proxy.Policy {
	p := proxy.Policy{
		TagTTL: u.TagTTL.Duration, StaleIfError: u.StaleIfError.Duration, AccessTTL: u.AccessTTL.Duration,
		DenialConfirm: u.DenialConfirm.Duration, RecordPull: u.RecordPull.Duration, ProxySettle: u.ProxySettle.Duration,
		Projects: make(map[string]proxy.Project, len(u.Projects)),
	}
	for name := range u.Projects {
		project := u.Project(name)
		p.Projects[name] = proxy.Project{ProxyCache: project.ProxyCache, Complete: project.Complete, TagTTL: project.TagTTL.Duration}
	}
	return p
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
	client, err := upstream.New(upstream.Options{
		Name: u.Name,
		URL:  u.URL.URL,
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

// only returns the one upstream that a valid configuration has for now.
func only(upstreams map[string]config.Upstream) config.Upstream {
	for _, u := range upstreams {
		return u
	}
	return config.Upstream{}
}
