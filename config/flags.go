package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"breakwater/proxy/registry"
)

// The environment that takes the place of --username and --password-file.
const (
	usernameVariable = "BREAKWATER_USERNAME"
	passwordVariable = "BREAKWATER_PASSWORD"
)

// flagUpstream is what the one upstream of the command line is called in logs
// and metrics; networksPath is where its listener has the networks.
const (
	flagUpstream = "harbor"
	upstreamPath = "upstreams." + flagUpstream
	networksPath = "listeners[0].anonymous.networks"
)

// Flags is what can be said on the command line in place of a file, as text.
// Its zero value lacks an address and a size: Declare puts the defaults in.
type Flags struct {
	Upstream     string // URL
	Username     string // "" = BREAKWATER_USERNAME
	PasswordFile string // "" = BREAKWATER_PASSWORD holds the password
	Listen       string
	AdminListen  string // "" = not served
	CacheDir     string // "" = breakwater in the user's cache folder
	MaxSize      string
	ProxyCache   []string // NAME=PROJECT: routes to Harbor's proxy-cache projects, beside the one that Upstream implies
	Default      string   // the route that of names that name none; "" = the only one
	Anonymous    []string // networks whose clients may pull without credentials; nil = this machine, on a loopback address
}

// flagPaths is what an operator of the command line calls the YAML paths.
var flagPaths = map[string]string{
	upstreamPath:                    "--upstream",
	upstreamPath + ".url":           "--upstream",
	upstreamPath + ".username":      "--username",
	upstreamPath + ".password_file": "--password-file",
	upstreamPath + ".password_env":  passwordVariable,
	"listeners[0].address":          "--listen",
	"listeners[0].default":          "--default",
	networksPath:                    "--anonymous",
	"admin.address":                 "--admin-listen",
	"cache.dir":                     "--cache-dir",
	"cache.max_size":                "--max-size",
}

// Declare declares the flags on a *pflag.FlagSet (cobra's) or *flag.FlagSet,
// with the defaults of [Default].
func (f *Flags) Declare(on interface {
	StringVar(p *string, name, value, usage string)
	Func(name, usage string, fn func(string) error)
}) {
	usual := Default()
	on.StringVar(&f.Upstream, "upstream", "", "URL of the registry behind Breakwater, such as https://harbor.example.com")
	on.StringVar(&f.Username, "username", "", "account there, best a robot (default: $"+usernameVariable+")")
	on.StringVar(&f.PasswordFile, "password-file", "", "file with the account's password (default: the password is in $"+passwordVariable+")")
	on.StringVar(&f.Listen, "listen", string(usual.Listeners[0].Address), "address on which the registry is served")
	on.Func("anonymous", "`NETWORK` whose clients may pull without credentials, such as 10.0.0.0/8; needed where --listen can be reached from other machines; may be repeated", func(network string) error {
		f.Anonymous = append(f.Anonymous, network)
		return nil
	})
	on.StringVar(&f.AdminListen, "admin-listen", string(usual.Admin.Address), "address of metrics and health; empty for none")
	on.Func("proxy-cache", "`NAME=PROJECT`: what clients call a registry, and the proxy-cache project in Harbor that stands for it, such as docker.io=hub-proxy; may be repeated", func(pair string) error {
		f.ProxyCache = append(f.ProxyCache, pair)
		return nil
	})
	on.StringVar(&f.Default, "default", "", "`NAME` of the registry that is meant where a client names none, such as docker.io; needed for that where --proxy-cache is given")
	on.StringVar(&f.CacheDir, "cache-dir", "", "folder of the cache (default: breakwater in the user's cache folder)")
	on.StringVar(&f.MaxSize, "max-size", Default().Cache.MaxSize.String(), "size that the cache may grow to")
}

// FromFlags builds what a file would say with the same values and checks it as
// [Load] does; a relative path is taken from the working directory. An error is
// always a [Problems] whose paths are the flags.
func FromFlags(f Flags) (Config, error) {
	const at = upstreamPath
	r := newReport("", maps.Clone(flagPaths))
	c := Default()
	u := DefaultUpstream()
	u.Username, u.PasswordFile = f.Username, rooted(f.PasswordFile)
	if u.Username == "" {
		u.Username = os.Getenv(usernameVariable)
	}
	if u.PasswordFile == "" && os.Getenv(passwordVariable) != "" {
		u.PasswordEnv = passwordVariable
	}
	if f.Upstream != "" {
		r.wrong(at+".url", u.URL.parse(f.Upstream))
	}
	u.Name = flagUpstream
	c.Upstreams = map[string]Upstream{flagUpstream: u}
	c.imply(r, u)
	f.routes(r, &c)
	c.Listeners = []Listener{f.listener(r)}
	r.wrong("admin.address", c.Admin.Address.parse(f.AdminListen))
	c.Cache.Dir = rooted(f.CacheDir)
	r.wrong("cache.max_size", c.Cache.MaxSize.parse(f.MaxSize))

	c.complete(r)
	c.validate(r)
	c.validateFiles(r)
	return r.result(c)
}

// routes adds those to proxy-cache projects.
func (f Flags) routes(r *report, c *Config) {
	for name := range c.Routes {
		r.flags[join("routes", name)] = "--upstream"
	}
	for i, pair := range f.ProxyCache {
		name, project, both := strings.Cut(pair, "=")
		path, flag := join("routes", name), "--proxy-cache "+shown(pair)
		first, twice := r.flags[path]
		if twice || !both {
			path = fmt.Sprintf("routes[%d]", i) // of which there is no route
		}
		for _, key := range []string{"", ".to", ".repositories[0]"} {
			r.flags[path+key] = flag
		}
		switch {
		case !both:
			r.problem(path, "names a project only", "write what clients call the registry that it stands for too, such as docker.io="+name)
		case twice:
			r.problem(path, shown(name)+" leads elsewhere by "+first, "remove one of the two")
		case !registry.ValidName(project):
			r.problem(path+".to", shown(project)+" is not the name of a project", "write it as Harbor does, such as docker.io=hub-proxy")
		}
		if c.Routes == nil {
			c.Routes = map[string]Route{} // upstream's own name cannot be one, which is reported
		}
		if both && !twice {
			c.Routes[name] = Route{To: flagUpstream + "/" + project, ProxyCache: true, TagTTL: Duration{notWritten}, Repositories: []string{"**"}}
		}
	}
}

// listener is the one of the command line.
func (f Flags) listener(r *report) Listener {
	l := DefaultListener()
	l.Default = f.Default
	r.wrong("listeners[0].address", l.Address.parse(f.Listen))
	for i, text := range f.Anonymous {
		if l.Anonymous == nil {
			l.Anonymous = &Anonymous{}
		}
		path := fmt.Sprintf("%s[%d]", networksPath, i)
		r.flags[path] = "--anonymous " + shown(text)
		var network Network
		r.wrong(path, network.parse(text))
		l.Anonymous.Networks = append(l.Anonymous.Networks, network)
	}
	return l
}

// rooted makes a path of the command line absolute. Where the working directory
// is gone it stays relative, and is refused as such.
func rooted(path string) string {
	if path == "" {
		return ""
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return absolute
}
