package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"breakwater/config"
	"breakwater/internal/clientkit"
	"breakwater/proxy/route"

	"github.com/spf13/cobra"
)

func clientConfigCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "client-config",
		Short: "Print what clients need to pull through this configuration by ordinary names",
		Long: `Client-config reads the configuration that serve reads, and prints what a client is to be
told: every route, how Breakwater is reached there, and how the client says who it is.

What is to be pasted goes to standard output, and nothing else; remarks on it go to
standard error, in lines that begin with #. No secret is printed or written.

Clients ask the registry itself where Breakwater has no answer (--no-fallback keeps
those from it that can be kept).`,
		Example: `  breakwater client-config docker --config /etc/breakwater/config.yaml > daemon.json
  breakwater client-config containerd --config /etc/breakwater/config.yaml --write /etc/containerd/certs.d
  breakwater client-config podman --config config.yaml --url https://registry.example.com:5443 --ca /etc/ssl/registry-ca.crt`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	docker := &kit{make: clientkit.Docker, prefers: forDockerHub}
	containerd := &kit{make: clientkit.Containerd}
	inTree := containerd.command("containerd", "Print, or write, hosts.toml files for containerd 1.5 and later")
	containerd.declareTree(inTree)
	command.AddCommand(
		docker.command("docker", "Print daemon.json for Docker, which mirrors docker.io only"), inTree,
		(&kit{make: clientkit.Podman}).command("podman", "Print registries.conf for podman, skopeo, buildah and CRI-O"),
		(&kit{make: clientkit.BuildKit}).command("buildkit", "Print buildkitd.toml for BuildKit"))
	return command
}

// kit is one client's command.
type kit struct {
	make    func(clientkit.Mirror) (clientkit.Snippet, error)
	prefers func(config.Listener) bool // which listener is the best for it; nil = any

	from          source
	url, listener string // --url, --listener
	write, remove string
	mirror        clientkit.Mirror // what flags say of it
}

func (k *kit) command(name, short string) *cobra.Command {
	command := &cobra.Command{Use: name, Short: short}
	k.from.declare(command)
	flags := command.Flags()
	flags.StringVar(&k.url, "url", "", "`URL` at which the client reaches Breakwater (default: the listener's port on 127.0.0.1, or the first name in its certificate)")
	flags.StringVar(&k.listener, "listener", "", "`ADDRESS` of the listener that is meant, as the configuration writes it (default: the first that fits)")
	flags.StringVar(&k.mirror.CA, "ca", "", "`FILE` on the client's machine: the authority of Breakwater's certificate, in PEM form")
	flags.StringVar(&k.mirror.Cert, "client-cert", "", "`FILE` on the client's machine: its own certificate, for a listener with mtls")
	flags.StringVar(&k.mirror.Key, "client-key", "", "`FILE` on the client's machine: the certificate's key")
	flags.BoolVar(&k.mirror.NoFallback, "no-fallback", false, "never let the client ask the registry itself, where it can be kept from it")
	command.RunE = func(command *cobra.Command, _ []string) error {
		return k.run(command.Context(), command.OutOrStdout(), command.ErrOrStderr())
	}
	return command
}

func (k *kit) declareTree(command *cobra.Command) {
	command.Long = command.Short + `.

With --write the files are put below a folder, each in one step and only if none of
them would take the place of one that somebody else wrote; everything else there is
left alone. --remove takes them away again. Docker with the containerd image store
reads the same files below /etc/docker/certs.d.`
	flags := command.Flags()
	flags.BoolVar(&k.mirror.EveryRegistry, "every-registry", false, "write _default too: Breakwater is asked about every registry, so that a new route needs no new file")
	flags.StringVar(&k.write, "write", "", "`DIR` to write the files to, such as /etc/containerd/certs.d")
	flags.StringVar(&k.remove, "remove", "", "`DIR` to remove the files from; the configuration is not read")
	command.MarkFlagsMutuallyExclusive("write", "remove")
}

func (k *kit) run(ctx context.Context, stdout, stderr io.Writer) error {
	if k.remove != "" {
		changes, err := clientkit.Remove(ctx, k.remove)
		return report(stdout, stderr, k.remove, changes, err)
	}
	snippet, err := k.snippet()
	if err != nil {
		return err
	}
	if k.write != "" {
		if len(snippet.Gaps) > 0 {
			return fmt.Errorf("nothing was written, since this would be left to fill in:\n%s\n(without --write it is printed)", strings.Join(snippet.Gaps, "\n"))
		}
		changes, err := clientkit.Write(ctx, k.write, snippet.Files)
		return errors.Join(remark(stderr, snippet.Remarks), report(stdout, stderr, k.write, changes, err))
	}
	var texts []string
	for _, file := range snippet.Files {
		texts = append(texts, file.Text)
	}
	for _, gap := range snippet.Gaps {
		snippet.Remarks = append(snippet.Remarks, "To be filled in: "+gap+".")
	}
	if _, err := io.WriteString(stdout, strings.Join(texts, "\n")); err != nil {
		return failure{err}
	}
	return remark(stderr, snippet.Remarks)
}

// snippet reads the configuration and makes of it what the client is told.
func (k *kit) snippet() (clientkit.Snippet, error) {
	c, err := k.from.load()
	if err != nil {
		return clientkit.Snippet{}, err
	}
	l, err := k.choose(c.Listeners)
	if err != nil {
		return clientkit.Snippet{}, err
	}
	if k.url == "" {
		if k.url, err = reachedAt(l); err != nil {
			return clientkit.Snippet{}, fmt.Errorf("listener %s: %w: give --url, the URL at which clients reach it", l.Address, err)
		}
	}
	m := k.mirror
	if m.URL, err = clientkit.ParseURL(k.url); err != nil {
		return clientkit.Snippet{}, fmt.Errorf("--url %w", err)
	}
	m.Access, m.Default, m.Routes = accessOf(l), l.Default, routesOf(c)
	if err := k.mistaken(m); err != nil {
		return clientkit.Snippet{}, err
	}
	s, err := k.make(m)
	s.Remarks = slices.Insert(s.Remarks, 0, fmt.Sprintf("For clients that reach the listener %s at %s (see --listener and --url).", l.Address, m.URL))
	return s, err
}

// mistaken looks at flags that are of no use together.
func (k *kit) mistaken(m clientkit.Mirror) error {
	switch plain := m.URL.Scheme == "http"; {
	case plain && (m.CA != "" || m.Cert != ""):
		return fmt.Errorf("%s is not encrypted, so --ca and --client-cert are of no use there: give an https URL with --url", m.URL)
	case plain && m.Access == clientkit.Certificate:
		return fmt.Errorf("the listener asks for a certificate, and %s is not encrypted: give an https URL with --url", m.URL)
	case (m.Cert == "") != (m.Key == ""):
		return errors.New("--client-cert and --client-key belong together: give both")
	}
	for flag, path := range map[string]string{"ca": m.CA, "client-cert": m.Cert, "client-key": m.Key} {
		if path != "" && !filepath.IsAbs(path) {
			return fmt.Errorf("--%s is not an absolute path: the client will not look for it from here", flag)
		}
	}
	return nil
}

// report tells what became of a tree's files; err is why it stopped there.
func report(stdout, stderr io.Writer, dir string, changes []clientkit.Change, err error) error {
	var notes []string
	for _, change := range changes {
		path := filepath.Join(dir, change.Path)
		if _, failed := fmt.Fprintf(stdout, "%-9s %s\n", change.What, path); failed != nil {
			err = errors.Join(err, failed)
		}
		if change.Note != "" {
			notes = append(notes, path+": "+change.Note)
		}
	}
	if err = errors.Join(err, remark(stderr, notes)); err != nil {
		return failure{err}
	}
	return nil
}

// remark prints lines that no client takes for more than a remark.
func remark(stderr io.Writer, remarks []string) error {
	for _, text := range remarks {
		if _, err := fmt.Fprintf(stderr, "# %s\n", strings.ReplaceAll(text, "\n", "\n# ")); err != nil {
			return failure{err}
		}
	}
	return nil
}

// routesOf are the routes, with where clients find each registry itself.
func routesOf(c config.Config) []clientkit.Route {
	var routes []clientkit.Route
	for _, r := range c.Table().Routes() {
		origin := "https://" + r.Name
		own, err := clientkit.ParseURL(c.Upstreams[r.Upstream].URL.String())
		switch {
		case r.Name == route.DockerHub:
			origin = "https://registry-1.docker.io"
		case err == nil && own.Host == r.Name && r.Prefix == "":
			origin = own.String()
		}
		routes = append(routes, clientkit.Route{Name: r.Name, Path: r.Path(), Origin: origin})
	}
	return routes
}
