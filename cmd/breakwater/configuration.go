package main

import (
	"errors"

	"breakwater/config"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// source is where a command finds its configuration: a file, or flags.
type source struct {
	file  string
	flags config.Flags
}

func (s *source) declare(command *cobra.Command) {
	command.Flags().StringVar(&s.file, "config", "", "configuration file (YAML); takes the place of the flags below")
	s.flags.Declare(command.Flags())
	command.MarkFlagsMutuallyExclusive("config", "upstream")
	command.Args = cobra.NoArgs
}

// load reads the configuration. Its errors say what to write.
func (s *source) load(command *cobra.Command) (config.Config, error) {
	switch {
	case s.file != "":
		var given error
		command.Flags().Visit(func(flag *pflag.Flag) {
			if flag.Name != "config" {
				given = errors.New("--" + flag.Name + " and --config are both given: write it into the file")
			}
		})
		if given != nil {
			return config.Config{}, given
		}
		return config.Load(s.file)
	case s.flags.Upstream == "":
		return config.Config{}, errors.New("nothing to serve: give --config FILE, or --upstream URL with --username and --password-file")
	}
	return config.FromFlags(s.flags)
}
