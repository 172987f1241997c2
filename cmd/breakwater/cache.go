package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"breakwater/config"
	"breakwater/internal/control"
	"breakwater/proxy/registry"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
)

// politeRate is how fast a running cache is verified unless --rate says more, in
// bytes a second: pulls come first.
const politeRate = 50 * config.MiB

// opener opens a cache on which no instance runs, and returns how to close it.
type opener func(config.Cache) (control.Cache, func() error, error)

// keeper looks after one cache: where it is, and how to speak of it.
type keeper struct {
	open      opener
	file, dir string // --config, --cache-dir
	format    string // -o

	where   string // the folder
	running bool   // an instance answers
	print   printer
}

func cacheCommand(open opener) *cobra.Command {
	k := &keeper{open: open}
	command := &cobra.Command{
		Use:   "cache",
		Short: "Look into the cache, verify it, and take things out of it",
		Long: `Where an instance runs on the cache's folder, it is asked through its socket there;
a stopped cache is opened, and an instance that starts meanwhile waits. For both,
be the user as whom Breakwater runs, or root.

Exit status: 0 all is well, 1 it did not work or something was wrong, 2 the
command line or the configuration is mistaken.`,
		Example: `  breakwater cache stat --config /etc/breakwater/config.yaml
  breakwater cache ls team-a/app --cache-dir /var/lib/breakwater
  breakwater cache verify --rate 20MiB -o json`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	flags := command.PersistentFlags()
	flags.StringVar(&k.file, "config", "", "configuration file (YAML) that names the cache's folder")
	flags.StringVar(&k.dir, "cache-dir", "", "folder of the cache (default: breakwater in the user's cache folder)")
	flags.StringVarP(&k.format, "output", "o", "table", "table, or json: one value, or one a line")
	command.AddCommand(k.list(), k.stat(), k.verify(), k.purge(),
		k.change("block", "Have a digest refused to everybody, at once, held or not", block),
		k.change("unblock", "Let a blocked digest be served again", unblock))
	return command
}

func (k *keeper) list() *cobra.Command {
	return &cobra.Command{
		Use:   "ls [REPOSITORY]",
		Short: "List what is held, of one repository or of all",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			repository := strings.Join(args, "")
			if repository != "" && !registry.ValidName(repository) {
				return fmt.Errorf("%q is not a repository's name; write it as upstream calls it, such as team-a/app", repository)
			}
			return k.with(command, func(c control.Cache) error {
				k.print.entries()
				return c.List(command.Context(), repository, k.print.entry)
			})
		},
	}
}

func (k *keeper) stat() *cobra.Command {
	return &cobra.Command{
		Use:   "stat",
		Short: "Say how much is held, and how much may be",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return k.with(command, func(c control.Cache) error {
				stat, err := c.Stat()
				if err != nil {
					return err
				}
				if !k.running {
					stat.Budget = 0 // find opened it without a limit
				}
				return k.print.stat(standing{k.where, k.running, stat})
			})
		},
	}
}

func (k *keeper) verify() *cobra.Command {
	var rate config.Size
	command := &cobra.Command{
		Use:   "verify",
		Short: "Read everything once, and remove what is not what its digest says",
		Args:  cobra.NoArgs,
	}
	command.Flags().TextVar(&rate, "rate", config.Size(0), "`SIZE` to read a second at most, 0 for no limit (default: "+politeRate.String()+" where an instance runs)")
	command.RunE = func(command *cobra.Command, _ []string) error {
		var seen verified
		err := k.with(command, func(c control.Cache) error {
			if k.running && !command.Flags().Changed("rate") {
				rate = politeRate
			}
			err := c.Verify(command.Context(), int64(rate), func(r control.Result) error {
				seen.add(r)
				return k.print.result(r)
			})
			if err != nil && seen.objects == 0 {
				return err // there is nothing to sum up
			}
			return errors.Join(err, k.print.verified(seen))
		})
		if err == nil && seen.wrong > 0 {
			return failure{} // what is wrong has been told
		}
		return err
	}
	return command
}

func (k *keeper) purge() *cobra.Command {
	var all bool
	command := &cobra.Command{
		Use:   "purge [REPOSITORY | DIGEST]",
		Short: "Remove a repository, a digest, or with --all everything",
		Long: `A repository's tags and rights are forgotten, and the content that no other one
has; a digest is removed from all repositories. Whoever is reading it reads on.
What is asked for again is fetched again: to have it refused, block it.`,
		Args: cobra.MaximumNArgs(1),
	}
	command.Flags().BoolVar(&all, "all", false, "remove everything")
	command.RunE = func(command *cobra.Command, args []string) error {
		purge, err := purgeOf(args, all)
		if err != nil {
			return err
		}
		return k.with(command, func(c control.Cache) error {
			purged, err := purge(c)
			if err != nil {
				return err
			}
			return k.print.purged(purged)
		})
	}
	return command
}

// purgeOf is the purge that the arguments ask for.
func purgeOf(args []string, all bool) (func(control.Cache) (control.Purged, error), error) {
	switch {
	case len(args) == 0 && all:
		return control.Cache.PurgeAll, nil
	case len(args) == 0:
		return nil, errors.New("name a repository or a digest; --all removes everything")
	case all:
		return nil, fmt.Errorf("--all and %s are both given: keep one of them", args[0])
	}
	what := args[0]
	if d, ok := registry.ParseDigest(what); ok {
		return func(c control.Cache) (control.Purged, error) { return c.PurgeDigest(d) }, nil
	}
	if registry.ValidName(what) {
		return func(c control.Cache) (control.Purged, error) { return c.PurgeRepository(what) }, nil
	}
	return nil, fmt.Errorf("%q is neither a repository nor a digest; write team-a/app, or sha256: and 64 hexadecimal digits (a tag goes with its repository)", what)
}

// block returns what was done, in a word.
func block(c control.Cache, d digest.Digest) (done string, err error) {
	return "blocked", c.Block(d)
}

// unblock returns what was done, or "": a digest that was not blocked may be another
// one than the operator meant.
func unblock(c control.Cache, d digest.Digest) (done string, err error) {
	stat, err := c.Stat()
	if err != nil {
		return "", err
	}
	if !slices.Contains(stat.Blocked, d) {
		return "", nil
	}
	return "unblocked", c.Unblock(d)
}

// change is block or unblock.
func (k *keeper) change(name, short string, change func(control.Cache, digest.Digest) (string, error)) *cobra.Command {
	return &cobra.Command{
		Use:   name + " DIGEST",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			d, ok := registry.ParseDigest(args[0])
			if !ok {
				return fmt.Errorf("%q is not a digest; write sha256: and 64 hexadecimal digits, or sha512: and 128", args[0])
			}
			return k.with(command, func(c control.Cache) error {
				done, err := change(c, d)
				if err != nil {
					return err
				}
				return k.print.changed(done, d)
			})
		},
	}
}

// with finds the cache, has do look after it, and closes it again.
func (k *keeper) with(command *cobra.Command, do func(control.Cache) error) error {
	if k.format != "table" && k.format != "json" {
		return fmt.Errorf("--output %q: write table or json", k.format)
	}
	c, err := locateCache(k.file, k.dir)
	if err != nil {
		return err
	}
	k.where = c.Dir
	k.print = newPrinter(command.OutOrStdout(), k.format)
	cache, closeCache, err := k.find(command.Context(), c)
	if err != nil {
		return failure{err}
	}
	err = do(cache)
	if err != nil && command.Context().Err() != nil {
		err = errors.New("interrupted")
	}
	if err := errors.Join(err, k.print.flush(), closeCache()); err != nil {
		return failure{err}
	}
	return nil
}

// locateCache finds the cache that --config or --cache-dir means.
func locateCache(file, dir string) (config.Cache, error) {
	if file != "" && dir != "" {
		return config.Cache{}, errors.New("--cache-dir and --config are both given: keep one of them")
	}
	return config.LoadCache(file, dir)
}

// find asks the instance that runs on the folder, or opens the stopped cache.
func (k *keeper) find(ctx context.Context, c config.Cache) (control.Cache, func() error, error) {
	if c.Dir == "" {
		return nil, nil, errors.New("there is no home that could hold a cache; name its folder (--cache-dir) or the configuration (--config)")
	}
	// The store writes this file when it makes a folder its own. Without it, what
	// was named is no cache, and shall not become one.
	if _, err := os.Stat(filepath.Join(c.Dir, "FORMAT")); err != nil {
		return nil, nil, fmt.Errorf("no cache in %q (%w); name its folder (--cache-dir) or the configuration (--config), and be the user as whom Breakwater runs", c.Dir, err)
	}
	client, err := control.Dial(ctx, c.Dir)
	if err == nil {
		k.running = true
		return client, client.Close, nil
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return nil, nil, fmt.Errorf("the running instance cannot be asked: %w", err)
	}
	// Looking after a cache is no reason to evict anything, nor to wait.
	c.MaxSize, c.MinFree, c.LockWait = 1<<60, config.Reserve{}, config.Duration{}
	cache, closeCache, err := k.open(c)
	if err != nil {
		return nil, nil, fmt.Errorf("%w (%w on the socket %s)", err, control.ErrNotRunning, filepath.Join(c.Dir, control.Socket))
	}
	return cache, closeCache, nil
}
