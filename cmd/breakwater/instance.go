package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"breakwater/blobcache"
	"breakwater/config"
	"breakwater/internal/control"
	"breakwater/metrics"
	"breakwater/proxy"
	"breakwater/proxy/route"

	"go.uber.org/zap"
)

// Limits of every connection from a client.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10 // podman's partial pulls send 18 kB of ranges
	maxStreams        = 32       // of HTTP/2: a client pulls a handful of blobs at once
	adminTimeout      = 30 * time.Second
)

// instance is one running Breakwater: what it listens on, and whom it asks.
type instance struct {
	log       *zap.Logger
	grace     time.Duration // what bodies under way get after SIGTERM
	registry  *proxy.Proxy
	cache     *blobcache.Cache
	dir       string // of the cache
	routes    *route.Table
	upstreams []asked
	doors     []*door
	counts    *metrics.Metrics
	files     *config.Watched
	// watchEvery is how soon a changed certificate file is noticed. A changed
	// password is read with the next token exchange.
	watchEvery time.Duration

	servers   []*server
	answering sync.WaitGroup // handlers
	ready     atomic.Bool
	// listening, if set, is called with the addresses once all are open.
	listening func(*instance)
}

// server is one address: "registry" for clients, "admin" for metrics and health.
type server struct {
	http.Server
	role     string
	listener net.Listener
}

func (i *instance) add(role, address string, handler http.Handler) *server {
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.answering.Add(1)
		defer i.answering.Done()
		handler.ServeHTTP(w, r)
	})
	s := &server{role: role, Server: http.Server{
		Addr:              address,
		Handler:           counted,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// Of one address connections are bounded, and so must be what goes on in each.
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog: serverLog(i.log.With(zap.String("listener", address))),
	}}
	i.servers = append(i.servers, s)
	return s
}

// addAdmin serves metrics and health: its answers are short, whoever asks.
func (i *instance) addAdmin(address string, handler http.Handler) {
	s := i.add("admin", address, handler)
	s.ReadTimeout, s.WriteTimeout = adminTimeout, adminTimeout
}

// addDoor serves the registry to those whom the door lets in.
func (i *instance) addDoor(d *door) {
	i.doors = append(i.doors, d)
	s := i.add("registry", string(d.Address), i.registry.Behind(d.gate, d.Default))
	s.ConnState = d.gate.ConnState
	s.TLSConfig = d.tls()
}

// serve answers on the open listener until the server is shut down.
func (s *server) serve() error {
	if s.TLSConfig != nil {
		return s.ServeTLS(s.listener, "", "")
	}
	return s.Serve(s.listener)
}

// addresses are where servers of that role listen, with the real port where the
// configuration says 0.
func (i *instance) addresses(role string) []string {
	var found []string
	for _, s := range i.servers {
		if s.role == role {
			found = append(found, s.listener.Addr().String())
		}
	}
	return found
}

// run serves until ctx ends, then lets what is under way finish within the
// grace period.
func (i *instance) run(ctx context.Context) error {
	if err := i.listen(); err != nil {
		return errors.Join(err, i.close())
	}
	defer i.control()()
	background, stop := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { i.files.Run(background, i.watchEvery, i.reload) })

	failed := make(chan error, len(i.servers))
	var serving sync.WaitGroup
	for _, s := range i.servers {
		serving.Go(func() { failed <- s.serve() })
	}
	i.announce()
	i.ready.Store(true)

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("a listener failed: %w", err)
	}
	i.ready.Store(false)
	i.shutdown()
	serving.Wait()
	i.answering.Wait() // those that were cut have their line of the log to write
	stop()
	watching.Wait()
	i.log.Info("stopped")
	return errors.Join(err, i.close())
}

// control answers `breakwater cache` and `breakwater explain` on a socket in the cache's folder, until the
// func that it returns is called.
func (i *instance) control() func() {
	if i.dir == "" {
		return func() {}
	}
	asked, err := control.Serve(i.dir, steward{i.cache, i.dir}, i.explain, i.log)
	if err != nil {
		i.log.Error("`breakwater cache` and `breakwater explain` cannot ask this instance; it serves all the same", zap.Error(err))
		return func() {}
	}
	return func() { _ = asked.Close() } // of a socket that nobody asks any more
}

// close ends the background work, from the road down to the disk.
func (i *instance) close() error {
	return errors.Join(closeDoors(i.doors), i.registry.Close(), closeUpstreams(i.upstreams), i.cache.Close())
}

// where an operator sets the address of each role.
var where = map[string]string{"registry": "listeners[].address, --listen", "admin": "admin.address, --admin-listen"}

// listen opens every address before one is served, so that a port in use is
// found before a client is.
func (i *instance) listen() error {
	for n, s := range i.servers {
		listener, err := net.Listen("tcp", s.Addr)
		if err != nil {
			for _, open := range i.servers[:n] {
				_ = open.listener.Close() // the error that matters is the one above
			}
			return fmt.Errorf("cannot listen for %s: %w; stop what listens there, or choose another address (%s)", s.role, err, where[s.role])
		}
		s.listener = listener
	}
	return nil
}

// announce says what is served, to whom, from where.
func (i *instance) announce() {
	registry, kept := i.addresses("registry"), i.cache.Stats().Disk
	for n, d := range i.doors {
		i.log.Info(fmt.Sprintf("at %s: %s", registry[n], d.who()),
			zap.String("listener", string(d.Address)), zap.String("mode", d.gate.Mode.Name()), zap.String("default", d.Default), zap.Bool("tls", d.certificate != nil), zap.Int("rules", len(d.Allow)))
	}
	for _, r := range i.routes.Routes() {
		i.log.Info(fmt.Sprintf("%s leads to %s", r.Name, path.Join(r.Upstream, r.Prefix)), zap.String("route", r.Name), zap.String("prefix", r.Prefix), zap.Bool("proxy_cache", r.ProxyCache), zap.Duration("tag_ttl", r.TagTTL))
	}
	i.log.Info(fmt.Sprintf("serving %s at %v", served(i.upstreams), registry),
		zap.String("version", version), zap.Strings("registry", registry), zap.Strings("admin", i.addresses("admin")),
		zap.String("cache_dir", i.dir), zap.Int64("cache_budget", kept.Budget), zap.Int64("cache_bytes", kept.Bytes), zap.Int("cache_objects", kept.Objects))
	if i.listening != nil {
		i.listening(i)
	}
}

// served names the upstreams, and the account that Breakwater has at each.
func served(upstreams []asked) string {
	var all []string
	for _, a := range upstreams {
		as := a.Username
		switch {
		case a.BearerTokenFile != "":
			as = "whoever the token in " + a.BearerTokenFile + " is"
		case as == "":
			as = "nobody (no username is set)"
		}
		all = append(all, fmt.Sprintf("%s, as %s may pull there,", a.URL, as))
	}
	return strings.Join(all, " and ")
}

// shutdown stops accepting, waits for answers under way, and cuts what is left
// after the grace period.
func (i *instance) shutdown() {
	i.log.Info("shutting down: answers under way may finish", zap.Duration("shutdown_grace", i.grace))
	ctx, cancel := context.WithTimeout(context.Background(), i.grace)
	defer cancel()
	var closing sync.WaitGroup
	// The admin port stays until the last answer is out: somebody may want to see it.
	for _, role := range []string{"registry", "admin"} {
		for s := range slices.Values(i.servers) {
			if s.role != role {
				continue
			}
			closing.Go(func() {
				if s.Shutdown(ctx) != nil {
					i.log.Warn("the grace period is over: answers under way are cut", zap.String("listener", s.Addr))
					_ = s.Close() // only an error of closing what is to be gone anyway
				}
			})
		}
		closing.Wait()
	}
}

// reload takes over changed files: certificates, authorities, who has a password.
// What does not fit together yet (a certificate whose key is still the old one) is
// tried again when the next file changes; until then the old ones stay in use.
func (i *instance) reload(changed []string) {
	for _, a := range i.upstreams {
		i.reloaded("upstreams."+a.Name, []string{a.CAFile, a.CertFile, a.KeyFile}, changed, a.reload)
	}
	for n, d := range i.doors {
		at := fmt.Sprintf("listeners[%d]", n)
		if d.certificate != nil {
			i.reloaded(at+".tls", d.certificate.files(), changed, d.certificate.reload)
		}
		i.reloaded(at+"."+from(d.Listener), d.ModeFiles(), changed, d.gate.Reload)
	}
}

// reloaded takes over the files of one part of the configuration, if one of them
// changed, and says whether they are in use.
func (i *instance) reloaded(part string, files, changed []string, reload func() error) {
	files = slices.DeleteFunc(files, func(file string) bool { return !slices.Contains(changed, file) })
	if len(files) == 0 {
		return
	}
	err := reload()
	i.counts.FilesReloaded(part, err == nil)
	if err != nil {
		i.log.Error("changed files cannot be used: the old ones stay in use", zap.String("part", part), zap.Strings("files", files), zap.Error(err))
		return
	}
	i.log.Info("changed files are in use", zap.String("part", part), zap.Strings("files", files))
}

// reload is about certificates; a password is read with the next exchange.
func (a asked) reload() error {
	settings, err := upstreamTLS(a.Upstream)
	if err != nil {
		return err
	}
	a.client.SetTLS(settings)
	return nil
}
