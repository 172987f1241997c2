package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"breakwater/config"
	"breakwater/internal/doctor"
	"breakwater/metrics"
	"breakwater/proxy/access"
	"breakwater/proxy/registry"

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
		"repository that is to be served, as upstream calls it, such as team-a/app; may be repeated (default: one of each project that the account may list)")
	command.RunE = func(command *cobra.Command, _ []string) error {
		if err := validNames(repositories); err != nil {
			return err
		}
		c, err := from.load()
		if err != nil {
			return err
		}
		report := doctor.NewReport(command.OutOrStdout())
		reportConfiguration(report, from.file, c.Warnings)
		reportFolder(report, c.Cache)
		if err := checkUpstreams(command.Context(), report, c, repositories); err != nil {
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

// validNames looks at what --repository was given.
func validNames(repositories []string) error {
	for _, name := range repositories {
		if !registry.ValidName(name) {
			return fmt.Errorf("--repository %q: not a repository's name; write it as upstream calls it, without host, tag and digest, such as team-a/app", name)
		}
	}
	return nil
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
func reportListeners(ctx context.Context, report *doctor.Report, listeners []config.Listener, upstreams []asked) {
	report.Section("listeners")
	for i, l := range listeners {
		d, err := newDoor(l, upstreams, metrics.New(version), zap.NewNop())
		if err != nil {
			report.Fail(string(l.Address), fmt.Sprintf("listeners[%d].%v", i, err), "mend the file, serve would not start with it")
			continue
		}
		report.OK(string(l.Address), d.who())
		reportCertificate(report, d)
		if mode, ok := d.gate.Mode.(*access.Token); ok {
			reportKeys(ctx, report, string(l.Address), mode)
		}
		if err := d.gate.Close(); err != nil {
			report.Fail(string(l.Address), err.Error(), "")
		}
	}
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
func checkUpstreams(ctx context.Context, report *doctor.Report, c config.Config, repositories []string) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	// What the clients would log and count, the report says in its own words.
	upstreams, err := newUpstreams(c.Upstreams, metrics.New(version), zap.NewNop())
	if err != nil {
		return err
	}
	reportListeners(ctx, report, c.Listeners, upstreams)
	for _, a := range upstreams {
		settings, err := upstreamTLS(a.Upstream)
		if err != nil {
			return err
		}
		doctor.Check(ctx, report, doctor.Upstream{
			Name: a.Name, URL: a.URL.URL, Account: a.Username, TokenURL: a.TokenURL.URL,
			Client: a.client, Proxy: http.ProxyFromEnvironment, TLS: settings,
			UserAgent: "breakwater/" + version, Repositories: repositories,
		})
	}
	return closeUpstreams(upstreams)
}
