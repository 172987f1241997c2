// Package config is what an operator wrote, read strictly and checked whole
// before anything is started.
//
// The way through it is forward only. [Load] reads a YAML file (or [FromFlags]
// what stood on the command line), the strict decoder lays it over [Default], the
// rules of validate.go, cache.go, upstream.go and freshness.go look at every value,
// those of routing.go at which name leads where, those of modes.go, issuer.go, allow.go
// and names.go at who may pull what on a listener, and files.go at the files and
// variables that they name. Whatever is wrong comes back at once as [Problems]: one
// line each, with its place, its YAML path and the fix.
//
// A [Config] is values only. It holds no password, just where the password is
// to be found ([Upstream.Credentials] reads it anew each time), so that it may
// be printed. Nothing is expanded: ${HOME} is six characters. Clients are
// built elsewhere; [Watched] tells when they must be built again.
package config

import (
	"slices"
	"time"
)

// Config is everything that an operator can set. Its zero value is not usable:
// begin with [Default].
type Config struct {
	Cache         Cache               `yaml:"cache"`
	Upstreams     map[string]Upstream `yaml:"upstreams"` // by the operator's name
	Routes        map[string]Route    `yaml:"routes"`    // by the name that clients have for a registry; never empty after Load, Parse, FromFlags
	Listeners     []Listener          `yaml:"listeners"` // never empty after Load, Parse, FromFlags
	Admin         Admin               `yaml:"admin"`
	Log           Log                 `yaml:"log"`
	ShutdownGrace Duration            `yaml:"shutdown_grace"` // what bodies under way are given at SIGTERM; 0 to 1h

	// Warnings tell what is legal but unwise, for the log at start.
	Warnings Problems `yaml:"-"`
}

// Cache says where content is kept and how much of it.
type Cache struct {
	Dir      string   `yaml:"dir,omitempty"` // absolute; "" = memory only, since there is no user's cache folder either
	MaxSize  Size     `yaml:"max_size"`      // of the files in Dir; at least 64MiB
	MinFree  Reserve  `yaml:"min_free"`      // left free on the file system of Dir
	Memory   Size     `yaml:"memory"`        // for manifests and small blobs; at least 1MiB
	LockWait Duration `yaml:"lock_wait"`     // for another process that holds Dir; 0 to 10m

	// Default says that nobody wrote Dir: it is the folder breakwater in the
	// user's cache folder ([os.UserCacheDir]). If it cannot be used, nobody's
	// wish is passed over.
	Default bool `yaml:"-"`
}

// Upstream is one Harbor, the account that Breakwater has there, and for how
// long its word holds (freshness.go).
type Upstream struct {
	Name string `yaml:"-"` // its key in Config.Upstreams

	URL          URL    `yaml:"url"` // an origin: scheme, host and port
	Username     string `yaml:"username,omitempty"`
	PasswordFile string `yaml:"password_file,omitempty"` // absolute
	PasswordEnv  string `yaml:"password_env,omitempty"`  // the variable's name

	BearerTokenFile string `yaml:"bearer_token_file,omitempty"` // absolute; in place of an account, where another Breakwater stands there: see BearerToken

	TokenURL  URL       `yaml:"token_url,omitempty"` // replaces the realm of the challenge
	Realms    []URL     `yaml:"realms,omitempty"`    // further origins that a realm may have
	CAFile    string    `yaml:"ca_file,omitempty"`   // absolute; PEM, trusted besides the system's authorities
	CertFile  string    `yaml:"cert_file,omitempty"` // absolute; PEM, with KeyFile
	KeyFile   string    `yaml:"key_file,omitempty"`
	Redirects []Network `yaml:"redirects,omitempty"` // private networks that a redirect of a blob may lead to

	TagTTL        Duration `yaml:"tag_ttl"`        // a tag is served unasked; 0 to 24h
	StaleIfError  Period   `yaml:"stale_if_error"` // a tag is served while upstream cannot be asked; [Forever] is allowed
	AccessTTL     Duration `yaml:"access_ttl"`     // held content is served before the account's access is checked again; 1m to 24h
	DenialConfirm Duration `yaml:"denial_confirm"` // until a refusal is asked about once more; 1s to 1h
	RecordPull    Duration `yaml:"record_pull"`    // between the pulls that are reported of content in use; 0 = none, or 1h and more
	ProxySettle   Duration `yaml:"proxy_settle"`   // until a poorer index behind a proxy-cache route is believed; 0 to 24h

	passwordAt string // what an operator calls the source of the password, for errors
	bearerAt   string // and that of the bearer token
}

// Admin is the address of metrics and health.
type Admin struct {
	Address Address `yaml:"address"` // "" = not served
}

// Log says how much is logged.
type Log struct {
	Level string `yaml:"level"` // debug, info, warn or error
}

// Default is what holds where an operator wrote nothing. It has no upstream:
// there is no sensible one (what holds within one is [DefaultUpstream]). It
// looks at nothing, so it has no Cache.Dir either: Load, Parse and FromFlags find
// one.
func Default() Config {
	usual := DefaultListener()
	usual.Address = "127.0.0.1:5000"
	usual.complete()
	return Config{
		Cache: Cache{
			MaxSize: 10 * GiB, MinFree: Reserve{Percent: 10}, Memory: 64 * MiB, LockWait: Duration{10 * time.Second},
		},
		Listeners:     []Listener{usual},
		Admin:         Admin{Address: "127.0.0.1:9090"},
		Log:           Log{Level: "info"},
		ShutdownGrace: Duration{30 * time.Second},
	}
}

// Files names the secret, certificate and key files of all upstreams and listeners,
// sorted, each once: those to hand to [Watch].
func (c Config) Files() []string {
	var files []string
	for _, u := range c.Upstreams {
		files = append(files, u.PasswordFile, u.CAFile, u.CertFile, u.KeyFile)
	}
	for _, l := range c.Listeners {
		files = append(files, l.Files()...)
	}
	files = slices.DeleteFunc(files, func(f string) bool { return f == "" })
	slices.Sort(files)
	return slices.Compact(files)
}
