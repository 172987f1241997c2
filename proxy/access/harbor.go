package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"breakwater/internal/flight"
	"breakwater/tokencache"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
)

// Asker is Harbor, as far as it tells about its accounts. Errors are those of
// [tokencache.Cache].
type Asker interface {
	// Ask tells what Harbor grants to credentials that are not ours.
	Ask(ctx context.Context, theirs tokencache.Credentials, scopes ...tokencache.Scope) (tokencache.Grant, error)
	// Grant tells what it grants to our own, right now.
	Grant(ctx context.Context, scope tokencache.Scope) (tokencache.Grant, error)
	// Health is nil if Harbor says that it is well, or says nothing.
	Health(ctx context.Context) error
}

// HarborOptions are what a [Harbor] needs. All but Log are required.
type HarborOptions struct {
	Upstream Asker
	// Name is the upstream's in the configuration: about others Harbor says nothing.
	Name string
	// Own is the name of Breakwater's own account, which is nobody else's to log in
	// with: guesses at a user's password make Harbor refuse the right one.
	Own      string
	Listener string // its address as configured, for logs and metrics
	Events   Events
	Log      *zap.Logger // may be nil
}

// What is worth asking Harbor about.
const (
	longestHarborUsername = 255  // bytes, as Harbor's own
	longestHarborPassword = 1024 // bytes: an OpenID user's CLI secret and a robot's have far less
)

// Harbor is the [Mode] of those who have an account in Harbor, a user's or a robot's,
// and send its name and password as Basic (RFC 7617). Who they are, and from which
// projects they may pull, is Harbor's word: see harbor_verdict.go for how it is read,
// harbor_lane.go for how it is asked without hurting anybody.
//
// A request for a repository is asked about once, with the repository's scope, which
// tells both. Only for what names no repository, such as a login's GET /v2/, who
// somebody is is asked alone.
type Harbor struct {
	options HarborOptions

	known   *memory[time.Time] // logins accepted lately, by when the last question began whose answer named them
	refused *memory[*Refusal]  // logins; apart from known, so that guesses drive out nobody

	granted   *memory[struct{}] // projects that a known login may pull from
	ungranted *memory[struct{}] // those that it may not; apart for the same reason

	attempts *attempts
	trials   *trials
	lanes    *lanes
	ofKnown  shares[fingerprint] // questions about one login that is known,
	allKnown *semaphore.Weighted // and about all of them
	silent   atomic.Bool         // Harbor could not tell, when it was asked last

	life      *flight.Life
	questions *flight.Group[question, map[string]bool]
}

// login is what a client says of itself.
type login struct {
	credentials
	print fingerprint
	from  netip.Addr
}

// account is what Harbor may count the name's wrong passwords under.
func (l login) account() string { return strings.ToLower(l.username) }

// robot tells accounts of which a wrong password does not make Harbor refuse the right
// one for a while. The prefix is Harbor's default; a robot of another one is waited
// for like a user.
func (l login) robot() bool { return strings.HasPrefix(l.username, "robot$") }

// whose tells the log about whose login it is. A name that is no robot's is not shown:
// nobody knows whether it is one, or a password typed in the wrong place.
func (l login) whose() error {
	if l.robot() {
		return fmt.Errorf("not the secret of %q, or that is disabled or has expired", l.username)
	}
	return errors.New("not the login of a user")
}

// NewHarbor asks nothing of the network.
func NewHarbor(o HarborOptions) *Harbor {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	life := flight.NewLife()
	return &Harbor{
		options: o,
		known:   newMemory[time.Time](), refused: newMemory[*Refusal](), granted: newMemory[struct{}](), ungranted: newMemory[struct{}](),
		attempts: newAttempts(), trials: newTrials(), lanes: newLanes(),
		ofKnown: shares[fingerprint]{most: mostOfKnown, of: make(map[fingerprint]*share)}, allKnown: semaphore.NewWeighted(mostTrials),
		life: life, questions: flight.NewGroup[question, map[string]bool](life),
	}
}

// Name implements [Mode].
func (h *Harbor) Name() string { return "harbor" }

// Challenge implements [Mode].
func (h *Harbor) Challenge() string { return Basic }

// Reload implements [Mode]: there are no files.
func (h *Harbor) Reload() error { return nil }

// Close implements [Mode]: it ends the questions under way, and waits for them.
func (h *Harbor) Close() error {
	h.life.End()
	return nil
}

// Authenticate implements [Mode]. That the client is who it says is known only once
// [Gate.Authorise] has said so.
func (h *Harbor) Authenticate(_ context.Context, r *http.Request) (Client, error) {
	c, err := basicOf(r, "the user name and the password, or a robot's secret, of a Harbor account", longestHarborUsername, longestHarborPassword)
	if err != nil {
		return Client{}, err
	}
	if strings.EqualFold(c.username, h.options.Own) {
		return Client{}, wrong(errors.New("the name is that of Breakwater's own account"))
	}
	l := login{c, h.known.fingerprint(c.username, c.secret.Reveal()), address(r)}
	return Client{Subject: c.username, upstream: h.options.Name, may: func(ctx context.Context, repositories []string) ([]bool, error) {
		return h.may(ctx, l, repositories)
	}}, nil
}

// may implements a Client's last word.
func (h *Harbor) may(ctx context.Context, l login, repositories []string) ([]bool, error) {
	verdicts := make(map[string]bool) // by project
	var open []string                 // a repository of each project that is to be asked about
	for _, repository := range repositories {
		project := projectOf(repository)
		if _, seen := verdicts[project]; seen || project == repository { // Harbor has nothing without a project
			continue
		}
		granted, remembered := h.recall(l, project)
		verdicts[project] = granted
		if !remembered {
			open = append(open, repository)
		}
	}
	if len(verdicts) == 0 {
		if _, err := h.find(ctx, l, nil); err != nil {
			return nil, err
		}
	}
	for len(open) > 0 {
		asked := open[:inOneQuestion(open)]
		found, err := h.find(ctx, l, asked)
		if err != nil {
			return nil, err
		}
		for _, repository := range asked {
			verdicts[projectOf(repository)] = found[projectOf(repository)]
		}
		open = open[len(asked):]
	}
	may := make([]bool, len(repositories))
	for i, repository := range repositories {
		may[i] = verdicts[projectOf(repository)]
	}
	return may, nil
}

// find asks Harbor about the projects of the repositories, of each of which there is
// one; without any, only who the login is. An error is a [*Refusal] or ctx's own.
func (h *Harbor) find(ctx context.Context, l login, repositories []string) (map[string]bool, error) {
	for {
		if refusal, ok := h.refused.get(l.print); ok {
			return nil, refusal
		}
		if named, known := h.known.get(l.print); known {
			if len(repositories) == 0 && time.Since(named) < acceptedLoginMemory {
				return nil, nil
			}
			found, err := h.questions.Do(ctx, question{login: l.print, about: projectsOf(repositories)},
				func(ctx context.Context) (map[string]bool, error) {
					if found, ok := h.recallAll(l, repositories); ok {
						return found, nil // since a moment ago
					}
					return h.converse(ctx, l, repositories, true)
				})
			return found, h.told(ctx, err)
		}
		// Of an unknown login there is one question at a time, whatever it is for.
		found, err := h.questions.Do(ctx, question{login: l.print, trial: true},
			func(ctx context.Context) (map[string]bool, error) { return h.try(ctx, l, repositories) })
		if away, ok := errors.AsType[*turnedAway](err); ok && away.from != neighbourhood(l.from) {
			continue // who began it comes from where there are too many: we do not
		}
		if err != nil || answers(found, repositories) {
			return found, h.told(ctx, err)
		}
		// It was for other projects, but now the login is known.
	}
}

// question is what is asked once for all who want to know.
type question struct {
	login fingerprint
	trial bool   // the login is unknown
	about string // projects; "": who the login is, or of a trial whatever came first
}

// answers tells whether all that was asked is found.
func answers(found map[string]bool, repositories []string) bool {
	for _, repository := range repositories {
		if _, ok := found[projectOf(repository)]; !ok {
			return false
		}
	}
	return found != nil
}

// told is what the client is told of an error that is not a refusal yet.
func (h *Harbor) told(ctx context.Context, err error) error {
	away, ok := errors.AsType[*turnedAway](err)
	switch {
	case ok:
		return away.refusal
	case err != nil && ctx.Err() != nil:
		return overdue(ctx, later(Unverifiable, unverifiablePause, context.Cause(ctx), "Harbor does not tell in time who you are: try again"))
	case errors.Is(err, flight.ErrClosed):
		return later(Unverifiable, 1, err, "this registry is being stopped: try again")
	}
	return err
}
