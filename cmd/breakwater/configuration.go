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
	set   *pflag.FlagSet // those that a file takes the place of
}

func (s *source) declare(command *cobra.Command) {
	command.Flags().StringVar(&s.file, "config", "", "configuration file (YAML); takes the place of the flags that say the same")
	s.set = pflag.NewFlagSet(command.Name(), pflag.ContinueOnError)
	s.flags.Declare(s.set)
	command.Flags().AddFlagSet(s.set)
	command.Args = cobra.NoArgs
}

// load reads the configuration. Its errors say what to write.
func (s *source) load() (config.Config, error) {
	if s.file == "" {
		if s.flags.Upstream == "" {
			return config.Config{}, errors.New("nothing to serve: give --config FILE, or --upstream URL with --username and --password-file")
		}
		return config.FromFlags(s.flags)
	}
	var both error
	s.set.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed {
			both = errors.New("--" + flag.Name + " and --config are both given: write it into the file")
		}
	})
	if both != nil {
		return config.Config{}, both
	}
	return config.Load(s.file)
}
