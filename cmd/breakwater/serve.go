package main

import (
	"breakwater/config"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

func serveCommand() *cobra.Command {
	var from source
	command := &cobra.Command{
		Use:   "serve",
		Short: "Serve an upstream registry to those whom you let pull",
		Example: `  breakwater serve --config /etc/breakwater/config.yaml
  breakwater serve --upstream https://harbor.example.com --username 'robot$breakwater' --password-file /run/secrets/harbor
  breakwater serve … --listen :5000 --anonymous 10.0.0.0/8   # to clients there, without credentials`,
	}
	from.declare(command)
	command.RunE = func(command *cobra.Command, _ []string) error {
		c, err := from.load()
		if err != nil {
			return err
		}
		log, flush, err := openLog(c.Log.Level, command.ErrOrStderr())
		if err != nil {
			return err
		}
		defer flush()
		warn(c, log)
		i, err := assemble(command.Context(), c, log)
		if err != nil {
			return failure{err}
		}
		if err := i.run(command.Context()); err != nil {
			return failure{err}
		}
		return nil
	}
	return command
}

// warn logs what is legal in a configuration but unwise.
func warn(c config.Config, log *zap.Logger) {
	for _, w := range c.Warnings {
		log.Warn(w.Error())
	}
}
