package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"breakwater/config"
	"breakwater/internal/doctor"
	"breakwater/internal/pattern"
	"breakwater/metrics"
	"breakwater/proxy/access"
	"breakwater/proxy/registry"
	"breakwater/proxy/route"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

// checkLimit bounds the whole check; each step has a limit of its own.
const checkLimit = 5 * time.Minute

func checkCommand() *cobra.Command {
	var (
		from         source
		repositories []string
	)
	command := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with a configuration, and what the upstream really grants",
		Long: `Check reads the configuration, looks whether the cache's folder can be written by
whoever runs it, says who may pull at each listener, then asks the upstream registry
as a pull will, and says step by step what it saw and what to do. Nothing is written,
here or upstream.

Exit status: 0 all works (with warnings or without), 1 a step failed, 2 the
configuration is wrong.`,
		Example: `  breakwater check --config /etc/breakwater/config.yaml --repository team-a/app
  breakwater check --upstream https://harbor.example.com --username 'robot$breakwater' --password-file /run/secrets/harbor`,
	}
	from.declare(command)
	command.Flags().StringArrayVar(&repositories, "repository", nil,
		"repository that is to be served, as clients call it, such as docker.io/library/nginx, or without a route's name as upstream does, such as team-a/app; may be repeated (default: one of each project that the account may list)")
	command.RunE = func(command *cobra.Command, _ []string) error {
		c, err := from.load()
		if err != nil {
			return err
		}
		named, err := atUpstreams(c, repositories)
		if err != nil {
			return err
		}
		report := doctor.NewReport(command.OutOrStdout())
		reportConfiguration(report, from.file, c.Warnings)
		reportFolder(report, c.Cache)
		if err := checkUpstreams(command.Context(), report, c, named); err != nil {
			return failure{err}
		}
		fine, err := report.Close()
		if err != nil || !fine {
			return failure{err}
		}
		return nil
	}
	return command
}

// atUpstreams finds where what --repository was given leads: names as each upstream
// calls them.
func atUpstreams(c config.Config, repositories []string) (map[string][]string, error) {
	table := c.Table()
	named := make(map[string][]string)
	for _, name := range repositories {
		if !registry.ValidName(name) {
			return nil, fmt.Errorf("--repository %q: not a repository's name; write it without tag and digest, such as docker.io/library/nginx or team-a/app (a port is written as in host_8443)", name)
		}
		first, _, _ := strings.Cut(name, "/")
		match, err := table.Find(registry.Request{Kind: registry.KindTags, Name: name}, "")
		switch {
		case err == nil:
			named[match.Route.Upstream] = append(named[match.Route.Upstream], match.Request.Name)
		case strings.Contains(first, ".") || len(c.Upstreams) > 1:
			return nil, fmt.Errorf("--repository %s: %w", name, err)
		default:
			for upstream := range c.Upstreams { // the only one
				named[upstream] = append(named[upstream], name)
			}
		}
	}
	return named, nil
}

// reportConfiguration prints the warnings of a configuration without mistakes.
func reportConfiguration(report *doctor.Report, file string, warnings config.Problems) {
	if file == "" {
		report.Section("configuration from flags and environment")
	} else {
		report.Section("configuration " + file)
	}
	report.OK("values", "all are understood; files and variables that it names can be read")
	for _, w := range warnings {
		if strings.HasSuffix(w.Path, "username") {
			continue // the doctor looks at the account itself, and says more
		}
		step := "values"
		if w.Line > 0 {
			step = fmt.Sprintf("line %d", w.Line)
		}
		report.Warn(step, w.Path+" "+w.Message, w.Fix)
	}
}

// reportFolder says whether serve could use the cache's folder. It makes none, and
// does not ask for the lock: an instance may be running there.
func reportFolder(report *doctor.Report, c config.Cache) {
	if c.Dir == "" {
		return // a warning of the configuration says so
	}
	dir := c.Dir
	info, err := os.Stat(dir)
	for errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir) // where it would be made
		info, err = os.Stat(dir)
	}
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	if err == nil {
		const writeAndSearch = 2 | 1 // access(2): W_OK, X_OK
		err = syscall.Access(dir, writeAndSearch)
	}
	seen := fmt.Sprintf("%s cannot be used by user %d: %v", c.Dir, os.Getuid(), err)
	switch {
	case err == nil && dir == c.Dir:
		report.OK("cache", fmt.Sprintf("%s can be written by user %d", dir, os.Getuid()))
	case err == nil:
		report.OK("cache", fmt.Sprintf("%s can be made by user %d", c.Dir, os.Getuid()))
	case c.Default && errors.Is(err, fs.ErrPermission):
		report.Warn("cache", seen+"; only manifests will be kept, in memory", "set cache.dir to a folder of Breakwater's own")
	default:
		report.Fail("cache", seen, fmt.Sprintf("make it a folder of this user's own (chown %d:%d %s), or name another", os.Getuid(), os.Getgid(), c.Dir))
	}
}

// reportListeners builds what stands before each listener, and says who may pull
// there. It listens nowhere, and asks the issuers of tokens for their keys.
func reportListeners(ctx context.Context, report *doctor.Report, listeners []config.Listener, routes *route.Table, upstreams []asked) {
	report.Section("listeners")
	for i, l := range listeners {
		d, err := newDoor(l, upstreams, metrics.New(version), zap.NewNop())
		if err != nil {
			report.Fail(string(l.Address), fmt.Sprintf("listeners[%d].%v", i, err), "mend the file, serve would not start with it")
			continue
		}
		report.OK(string(l.Address), d.who()+usually(l.Default))
		if r, ok := routes.Named(l.Default); ok && passesForHub(l, r) {
			report.Note(string(l.Address), "not one for registry-mirrors of dockerd, which would take library/base of "+r.Name+" for its docker.io/library/base: those need default: docker.io")
		}
		reportCertificate(report, d)
		if mode, ok := d.gate.Mode.(*access.Token); ok {
			reportKeys(ctx, report, string(l.Address), mode)
		}
		if err := d.gate.Close(); err != nil {
			report.Fail(string(l.Address), err.Error(), "")
		}
	}
}

// passesForHub tells of a listener that dockerd, which says neither its password nor which
// registry it means, would be served official images by that are none.
func passesForHub(l config.Listener, usual route.Route) bool {
	asksNothing := l.Anonymous != nil || l.MTLS != nil
	return asksNothing && usual.Name != route.DockerHub && slices.ContainsFunc(usual.Repositories, pattern.New("library/*").Overlaps)
}

// usually says what a name without a registry means at a listener.
func usually(route string) string {
	if route == "" {
		return "; each name has to begin with a route (default is not set)"
	}
	return "; names without a registry are of " + route
}

// reportKeys asks the issuers of tokens for their keys.
func reportKeys(ctx context.Context, report *doctor.Report, at string, mode *access.Token) {
	if err := mode.Fetch(ctx); err != nil {
		report.Fail(at, err.Error(), "see that the issuer is reached from here, by ca_file trusted, and by bearer_token_file lets its keys be read; or give them with jwks_file")
		return
	}
	report.OK(at, "the keys of every issuer are at hand")
}

// reportCertificate looks at what clients will not forgive: they take no certificate
// that has expired, and no name that is not an alternative one (RFC 9110 §4.3.4).
func reportCertificate(report *doctor.Report, d *door) {
	if d.certificate == nil {
		return
	}
	leaf := d.certificate.current.Load().Leaf
	left := time.Until(leaf.NotAfter).Round(time.Hour)
	switch at := string(d.Address); {
	case left <= 0:
		report.Fail(at, fmt.Sprintf("its certificate %s expired at %s", d.TLS.CertFile, leaf.NotAfter.Format(time.RFC3339)), "renew it")
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		report.Fail(at, fmt.Sprintf("its certificate %s has no alternative name, and clients look at no other", d.TLS.CertFile), "issue it with the names by which clients call this registry")
	case left < 7*24*time.Hour:
		report.Warn(at, fmt.Sprintf("its certificate %s expires in %s", d.TLS.CertFile, left), "renew it")
	}
}

// checkUpstreams has the doctor look at each upstream through the very client that
// would serve it.
func checkUpstreams(ctx context.Context, report *doctor.Report, c config.Config, repositories map[string][]string) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	// What the clients would log and count, the report says in its own words.
	upstreams, err := newUpstreams(c.Upstreams, metrics.New(version), zap.NewNop())
	if err != nil {
		return err
	}
	table := c.Table()
	reportRoutes(ctx, report, table, upstreams)
	reportListeners(ctx, report, c.Listeners, table, upstreams)
	for _, a := range upstreams {
		settings, err := upstreamTLS(a.Upstream)
		if err != nil {
			return err
		}
		doctor.Check(ctx, report, doctor.Upstream{
			Name: a.Name, URL: a.URL.URL, Account: a.Username, TokenURL: a.TokenURL.URL,
			Client: a.client, Proxy: http.ProxyFromEnvironment, TLS: settings,
			UserAgent: "breakwater/" + version, Repositories: repositories[a.Name],
			Served: func(name string) bool { return len(table.Names(a.Name, name)) > 0 },
		})
	}
	return closeUpstreams(upstreams)
}
