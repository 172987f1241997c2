package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"breakwater/internal/control"
	"breakwater/internal/explain"
	"breakwater/proxy/access"

	"github.com/spf13/cobra"
)

// explaining is one question how an image would be pulled.
type explaining struct {
	file, dir string // --config, --cache-dir
	listener  string
	json      bool
}

func explainCommand() *cobra.Command {
	var e explaining
	command := &cobra.Command{
		Use:   "explain IMAGE",
		Short: "Say how the next pull of an image would go, and why",
		Long: `Explain asks the instance that runs on the cache's folder, through its socket there,
where the name of an image leads, what is known of its tag, and what of it is held.
It changes nothing, and nothing is asked of upstream. Be the user as whom Breakwater
runs, or root.

The image is named as for docker pull: without a registry it is docker.io's, or with
--listener, which then counts as the mirror that is asked, of that listener's default.

Exit status: 0 it was explained, 1 no instance runs there or it cannot be asked, 2 the
command line is mistaken.`,
		Example: `  breakwater explain nginx
  breakwater explain 127.0.0.1:5000/quay.io/acme/app:1.0 --config /etc/breakwater/config.yaml
  breakwater explain harbor.example.com/team-a/app@sha256:… --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(command *cobra.Command, args []string) error { return e.run(command, args[0]) },
	}
	flags := command.Flags()
	flags.StringVar(&e.file, "config", "", "configuration file (YAML) that names the cache's folder")
	flags.StringVar(&e.dir, "cache-dir", "", "folder of the cache (default: breakwater in the user's cache folder)")
	flags.StringVar(&e.listener, "listener", "", "`ADDRESS` of the listener that is asked, as it is configured (default: whichever the image's name leads to)")
	flags.BoolVar(&e.json, "json", false, "print JSON")
	return command
}

func (e explaining) run(command *cobra.Command, image string) error {
	if _, err := explain.ParseImage(image); err != nil {
		return err
	}
	c, err := locateCache(e.file, e.dir)
	if err != nil {
		return err
	}
	client, err := control.Dial(command.Context(), c.Dir)
	if err != nil {
		return failure{fmt.Errorf("nobody can be asked: %w in %q; name its configuration (--config) or its cache's folder (--cache-dir)", err, c.Dir)}
	}
	defer func() { _ = client.Close() }() // of what was asked
	var report explain.Report
	err = client.Explain(image, e.listener, &report)
	switch {
	case errors.As(err, new(control.Mistake)):
		return err
	case err != nil:
		return failure{err}
	case !e.json:
		err = explain.Render(command.OutOrStdout(), report)
	default:
		lines := json.NewEncoder(command.OutOrStdout())
		lines.SetEscapeHTML(false)
		err = lines.Encode(report)
	}
	if err != nil {
		return failure{err}
	}
	return nil
}

// explain is [control.Explain] of a running instance.
func (i *instance) explain(ctx context.Context, name, address string) (any, error) {
	image, err := explain.ParseImage(name)
	if err != nil {
		return nil, control.Mistake{Err: err}
	}
	doors, usual, here := i.doors, "", false
	if d := i.doorOf(image, address); d != nil {
		usual, here = d.Default, true
	}
	if address != "" {
		if doors = slices.DeleteFunc(slices.Clone(doors), func(d *door) bool { return string(d.Address) != address }); len(doors) == 0 {
			return nil, control.Mistake{Err: fmt.Errorf("%q is not the address of a listener: these are %s", address, strings.Join(i.listeners(), ", "))}
		}
	}
	explanation, err := i.registry.Explain(ctx, image.Request(here), usual)
	if err != nil {
		return nil, err
	}
	report := explain.Report{Image: image.String(), Explanation: explanation}
	if explanation.Route.Refused != "" {
		return report, nil
	}
	repository := access.Repository{Upstream: explanation.Route.Upstream, Name: explanation.Route.Repository, Names: explanation.Route.Names}
	for _, d := range doors {
		report.Listeners = append(report.Listeners, d.explain(repository))
	}
	return report, nil
}

// doorOf is where a client asks that takes Breakwater itself for the registry, and names
// none: at the listener of that address, where the name was written without a registry,
// or at the one whose port stands in the name. It is nil for all other clients.
func (i *instance) doorOf(image explain.Image, address string) *door {
	if _, named := i.routes.Named(image.Registry); named && (address == "" || !image.Implied) {
		return nil
	}
	_, port, _ := net.SplitHostPort(image.Registry) // "" of what has none
	for n, open := range i.addresses("registry") {
		_, opened, _ := net.SplitHostPort(open) // of what is listened on
		at := string(i.doors[n].Address)
		if image.Implied && address == at || !image.Implied && port == opened && (address == "" || address == at) {
			return i.doors[n]
		}
	}
	return nil
}

// listeners are the addresses of all listeners, as they are configured.
func (i *instance) listeners() []string {
	var all []string
	for _, d := range i.doors {
		all = append(all, string(d.Address))
	}
	return all
}

// explain says who may pull from a repository at this listener.
func (d *door) explain(repository access.Repository) explain.Listener {
	l := explain.Listener{Address: string(d.Address), Mode: d.gate.Mode.Name(), Default: d.Default, Who: d.who()}
	opening := d.gate.Allow.Opening(repository)
	l.Allowed = len(opening) > 0
	if d.Harbor != nil {
		l.Who += ", and may pull it there"
		l.Allowed = l.Allowed && d.Harbor.Upstream == repository.Upstream
	}
	if d.Allow == nil {
		return l // all who are let in
	}
	for _, n := range opening {
		l.Rules = append(l.Rules, fmt.Sprintf("allow[%d]: %s", n, meant(d.Allow[n].Subjects, d.Allow[n].Groups)))
	}
	return l
}

// meant is whom a rule means.
func meant(subjects, groups []string) string {
	var who []string
	if len(subjects) > 0 {
		who = append(who, "subjects "+strings.Join(subjects, ", "))
	}
	if len(groups) > 0 {
		who = append(who, "groups "+strings.Join(groups, ", "))
	}
	if who == nil {
		return "anyone"
	}
	return strings.Join(who, " and ")
}
