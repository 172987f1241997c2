package access

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"breakwater/internal/pattern"
	"breakwater/proxy/registry"

	"go.uber.org/zap"
)

// Mode is one way to find out who a client is; a listener has one.
type Mode interface {
	// Name is the mode's word in the configuration.
	Name() string
	// Authenticate tells who sent the request. An error is a [*Refusal] or ctx's own.
	Authenticate(ctx context.Context, r *http.Request) (Client, error)
	// Challenge is what WWW-Authenticate says beside a 401 (RFC 9110 §11.6.1); "" where
	// no field of a request would help.
	Challenge() string
	// Reload reads the mode's files again. After an error the old ones stay in use.
	Reload() error
	// Close ends what the mode does in the background. Authenticate must have ended.
	Close() error
}

// Basic is the challenge of every mode that takes a user name and a password (RFC
// 7617 §2): all clients answer it, on each resource as on /v2/.
const Basic = `Basic realm="breakwater", charset="UTF-8"`

// Events are what a gate and its mode tell metrics of. Listeners are those of the
// configuration; reasons and results are closed sets.
type Events interface {
	// ClientRefused counts what was turned away.
	ClientRefused(listener string, why Why)
	// CredentialsChecked counts credentials that were not remembered, and so were
	// hashed, verified, or asked about, by what came of it.
	CredentialsChecked(listener string, result Result)
}

// Result is what a check of credentials came to.
type Result string

// The results of a check.
const (
	Accepted Result = "accepted"
	Rejected Result = "rejected"
	Unknown  Result = "unknown" // who could tell cannot be asked
)

// Results are all results, for whoever counts each.
func Results() []Result { return []Result{Accepted, Rejected, Unknown} }

// Options of a [Gate]. Mode, Allow, Limits and Events are required.
type Options struct {
	Listener string // its address as configured, for logs and metrics
	Mode     Mode
	Allow    Policy // what nobody is allowed there is denied
	Hide     bool   // what is denied looks as if it did not exist
	Limits   Limits
	Events   Events
	Log      *zap.Logger // of connections that are closed at once; may be nil
}

// Gate is one listener's: who may come in, and what they may pull.
type Gate struct {
	Options
	limits        *limits
	connectionLog *zap.Logger
}

// New returns a Gate, whose Close closes its mode.
func New(o Options) *Gate {
	return &Gate{Options: o, limits: newLimits(o.Limits), connectionLog: seldom(o.Log)}
}

// Authenticate tells who sent the request. An error is a [*Refusal], counted here,
// or ctx's own.
func (g *Gate) Authenticate(ctx context.Context, r *http.Request) (Client, error) {
	client, err := g.Mode.Authenticate(ctx, r)
	client.Address = address(r)
	return client, g.counted(err)
}

// Authorise tells whether the client may have what it asks of a repository; the zero
// Repository is for what names none, where only who the client is may still be open.
// A nil error is yes; others are as with Authenticate.
func (g *Gate) Authorise(ctx context.Context, client Client, kind registry.Kind, repository Repository) error {
	// First the word that also proves who the client is: the policy tells nothing about
	// somebody to whoever just says that name.
	if client.may != nil {
		granted, err := client.granted(ctx, repository)
		if err == nil && !granted[0] && repository.Name != "" {
			err = g.denied(NotGranted, errors.New("Harbor grants it no pull in that project"), client, kind, repository)
		}
		if err != nil {
			return g.counted(err)
		}
	}
	if repository.Name != "" && !g.Allow.Allows(client, repository) {
		return g.counted(g.denied(NotAllowed, g.Allow.about(client), client, kind, repository))
	}
	return nil
}

// granted is what the last word on repositories is: no on those of another upstream.
func (c Client) granted(ctx context.Context, repositories ...Repository) ([]bool, error) {
	var (
		names []string
		of    []int
	)
	for i, r := range repositories {
		if r.Upstream == c.upstream && r.Name != "" {
			names, of = append(names, r.Name), append(of, i)
		}
	}
	granted := make([]bool, len(repositories))
	may, err := c.may(ctx, names)
	for i := range names {
		if err == nil {
			granted[of[i]] = may[i]
		}
	}
	return granted, err
}

// Shows tells whether there may be a repository of that upstream, among those that have
// one of such names, that the client may pull from.
func (g *Gate) Shows(client Client, upstream string, names []pattern.Pattern) bool {
	if client.may != nil && client.upstream != upstream {
		return false
	}
	return slices.ContainsFunc(g.Allow, func(r Rule) bool { return r.mayOpen(names) && r.means(client) })
}

// Hidden is what is told of whatever a client must not know of: as if it were not there.
func Hidden(kind registry.Kind, name string) *registry.Error {
	return registry.Errorf(http.StatusNotFound, kind.Unknown(), "%s is not known here", name)
}

// Visible returns those of the repositories that the client may pull from. Errors
// are as with Authenticate.
func (g *Gate) Visible(ctx context.Context, client Client, repositories []Repository) ([]Repository, error) {
	var visible []Repository
	for _, repository := range repositories {
		if g.Allow.Allows(client, repository) {
			visible = append(visible, repository)
		}
	}
	if client.may == nil || len(visible) == 0 {
		return visible, nil
	}
	granted, err := client.granted(ctx, visible...)
	if err != nil {
		return nil, g.counted(err)
	}
	var both []Repository
	for i, repository := range visible {
		if granted[i] {
			both = append(both, repository)
		}
	}
	return both, nil
}

// Authenticates tells whether answers are for one client alone (RFC 9111 §5.2.2.7).
func (g *Gate) Authenticates() bool {
	_, everybody := g.Mode.(*Anonymous)
	return !everybody
}

// Challenge is what a 401 says: see [Mode].
func (g *Gate) Challenge() string { return g.Mode.Challenge() }

// Reload reads the mode's files again: see [Mode].
func (g *Gate) Reload() error { return g.Mode.Reload() }

// Close ends the mode's background work.
func (g *Gate) Close() error { return g.Mode.Close() }

// denied is 403, or 404 where existence must not show. cause is for the log.
func (g *Gate) denied(why Why, cause error, client Client, kind registry.Kind, repository Repository) error {
	if g.Hide {
		return &Refusal{why, Hidden(kind, repository.Name).Because(cause)}
	}
	who, whom := client.Subject, "the operator of this registry"
	if who == "" {
		who = client.Address.String()
	}
	if why == NotGranted {
		whom = "whoever looks after that project in Harbor"
	}
	return forbidden(why, cause, "%s may not pull from %s: ask %s for the right to it", who, repository.Name, whom)
}

func (g *Gate) counted(err error) error {
	if refusal, ok := err.(*Refusal); ok {
		g.Events.ClientRefused(g.Listener, refusal.Why)
	}
	return err
}
