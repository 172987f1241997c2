package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"syscall"

	"breakwater/config"
	"breakwater/internal/demo"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

func demoCommand() *cobra.Command {
	var (
		listen, adminListen string
		once                bool
	)
	command := &cobra.Command{
		Use:   "demo",
		Short: "See a private image come through: no Harbor, no network needed",
		Long: `Start a Harbor stand-in with a few private images, put Breakwater before it, pull
one image as a client without credentials does, pull it again, and once more while
Harbor is down, and tell what happened on both sides. Both keep running until Ctrl-C;
nothing is left behind.`,
		Args: cobra.NoArgs,
	}
	usual := config.Default()
	flags := command.Flags()
	flags.StringVar(&listen, "listen", string(usual.Listeners[0].Address), "address on which the registry is served; another port is taken if it is in use")
	flags.StringVar(&adminListen, "admin-listen", string(usual.Admin.Address), "address of metrics and health; empty for none")
	flags.BoolVar(&once, "once", false, "end after the story")
	command.RunE = func(command *cobra.Command, _ []string) error {
		stage, err := demo.Open()
		if err != nil {
			return failure{err}
		}
		c, err := demoConfiguration(stage, listen, adminListen)
		if err != nil {
			return errors.Join(err, stage.Close())
		}
		err = play(command.Context(), stage, c, once, command.OutOrStdout(), command.ErrOrStderr())
		if err := errors.Join(err, stage.Close()); err != nil {
			return failure{err}
		}
		return nil
	}
	return command
}

// demoConfiguration is what the flags of `serve` would say, with a tag_ttl that its
// reader need not wait long for.
func demoConfiguration(stage *demo.Stage, listen, adminListen string) (config.Config, error) {
	c, err := config.FromFlags(config.Flags{
		Upstream:     stage.URL,
		Username:     stage.Username,
		PasswordFile: stage.PasswordFile,
		Listen:       listen,
		AdminListen:  adminListen,
		CacheDir:     filepath.Join(filepath.Dir(stage.PasswordFile), "cache"),
		MaxSize:      config.Default().Cache.MaxSize.String(),
	})
	for name, route := range c.Routes {
		route.TagTTL.Duration = stage.TagTTL
		c.Routes[name] = route
	}
	c.Log.Level = "warn" // a line for each request would drown the story
	return c, err
}

// leaveTaken replaces an address whose port is in use by one of the same host
// whose port the system chooses, and says so.
func leaveTaken(stdout io.Writer, address *config.Address) error {
	if *address == "" {
		return nil
	}
	listener, err := net.Listen("tcp", string(*address))
	switch {
	case err == nil:
		return listener.Close()
	case !errors.Is(err, syscall.EADDRINUSE):
		return err
	}
	host, _, err := net.SplitHostPort(string(*address))
	if err != nil {
		return err
	}
	taken := *address
	*address = config.Address(net.JoinHostPort(host, "0"))
	_, err = fmt.Fprintf(stdout, "%s is in use here: Breakwater takes another port.\n", taken)
	return err
}

// play runs Breakwater before the stage, as `serve` does, tells the story, and
// ends with ctx, or after the story if it is told once.
func play(ctx context.Context, stage *demo.Stage, c config.Config, once bool, stdout, stderr io.Writer) error {
	for _, address := range []*config.Address{&c.Listeners[0].Address, &c.Admin.Address} {
		if err := leaveTaken(stdout, address); err != nil {
			return err
		}
	}
	log, flush, err := openLog(c.Log.Level, stderr)
	if err != nil {
		return err
	}
	defer flush()
	i, err := assemble(ctx, c, log)
	if err != nil {
		return err
	}
	open := make(chan struct{})
	i.listening = func(*instance) { close(open) }

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return i.run(ctx) })
	both.Go(func() error {
		defer stop()
		select {
		case <-open:
			return tell(ctx, stage, i, once, stdout)
		case <-ctx.Done():
			return nil // run says why
		}
	})
	return both.Wait()
}

// tell tells the story and, unless it is told once, what to try until ctx ends.
func tell(ctx context.Context, stage *demo.Stage, i *instance, once bool, stdout io.Writer) error {
	registry := i.addresses("registry")[0]
	if err := stage.Tell(ctx, stdout, registry); err != nil || once {
		return err
	}
	var admin string
	if found := i.addresses("admin"); len(found) > 0 {
		admin = found[0]
	}
	if err := stage.Invite(stdout, registry, admin); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
