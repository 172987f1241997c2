package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"breakwater/config"

	"github.com/spf13/cobra"
)

// version is set by the linker: -X main.version=1.2.3.
var version = "dev"

// Exit statuses.
const (
	exitFine     = 0
	exitFailed   = 1 // it was tried and did not work
	exitMistaken = 2 // the command line or the configuration is wrong: nothing was started
)

// run is the program; what it returns is its exit status.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	// After the first signal another one ends the program at once, unless it is the same
	// one twice, as some supervisors send it.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	defer stop()

	root := &cobra.Command{
		Use:           "breakwater",
		Short:         "Serve a private Harbor to those whom you let pull, from a cache",
		SilenceUsage:  true,
		SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{
			HiddenDefaultCmd: true,
		},
	}
	root.AddCommand(serveCommand(), checkCommand(), cacheCommand(openStopped), explainCommand(), demoCommand(), clientConfigCommand(), versionCommand())
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)

	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitFine
	}
	var failed failure
	if errors.As(err, &failed) {
		if failed.err != nil {
			fmt.Fprintln(stderr, failed.err)
		}
		return exitFailed
	}
	var problems config.Problems
	if errors.As(err, &problems) {
		fmt.Fprintln(stderr, problems)
		return exitMistaken
	}
	fmt.Fprintf(stderr, "%v\nSee '%s --help'.\n", err, command.CommandPath())
	return exitMistaken
}

// failure is an error of something that was started rightly. Every other error
// of a command is a mistake in how it was called. err is nil when everything
// was said already.
type failure struct{ err error }

func (f failure) Error() string { return fmt.Sprint(f.err) }

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(command.OutOrStdout(), "breakwater", version)
			return err
		},
	}
}
