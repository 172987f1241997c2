package access

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"breakwater/internal/flight"
	"breakwater/tokencache"

	"go.uber.org/zap"
)

// How long Harbor's word is remembered, from when the question began: so a right that
// is taken away ends here within acceptedLoginMemory. A login that is refused altogether is
// remembered from when that is known.
const (
	acceptedLoginMemory = time.Minute
	rejectedLoginMemory = 5 * time.Second
	// lately is how long ago a login may have been accepted to be asked about twice
	// before it is refused, and to wait behind no unknown one.
	lately = 10 * time.Minute
)

// unverifiablePause, in seconds, is what clients are told where nobody knows better.
// The longest is for what upstream asks for.
const (
	unverifiablePause        = 5
	longestUnverifiablePause = 60
)

// What Harbor may say beside a yes and a no.
var (
	errNobody  = errors.New("Harbor answers with a token that names nobody")
	errPassing = errors.New("Harbor knows the login, and yet answers for a repository with a token that names nobody")
)

// judge asks, and believes no single no: somebody else's wrong password may be why
// Harbor says it, which a rest will tell, or an outage that was over when our own
// account was asked.
func (h *Harbor) judge(ctx context.Context, l login, repositories []string, known bool) (map[string]bool, error) {
	if known { // who is not has a trial's turn
		if err := h.allKnown.Acquire(ctx, 1); err != nil {
			return nil, err
		}
		defer h.allKnown.Release(1)
	}
	found, err := h.hear(ctx, l, repositories)
	_, refused := errors.AsType[*tokencache.RefusedError](err)
	switch {
	case err == errPassing || refused && known && !l.robot():
		if err := sleep(ctx, laneRest); err != nil {
			return nil, err
		}
		found, err = h.hear(ctx, l, repositories)
	case refused:
		if _, err = h.hear(ctx, l, nil); err == nil {
			err = errPassing
		}
	}
	return found, h.conclude(l, known, err)
}

// hear asks for the repositories' scopes and, where the answer names nobody, without a
// scope, which Harbor answers honestly: with 401, if not with the name. That 401 is
// believed only if our own account, which is right, is not refused as well. The error
// is ctx's own, errPassing, a [*Refusal], or of [tokencache.Cache.Ask].
func (h *Harbor) hear(ctx context.Context, l login, repositories []string) (map[string]bool, error) {
	found, err := h.ask(ctx, l, repositories)
	if err == errNobody && len(repositories) > 0 {
		if _, err = h.ask(ctx, l, nil); err == nil {
			err = errPassing
		}
	}
	if _, refused := errors.AsType[*tokencache.RefusedError](err); refused {
		if ill := h.control(ctx); ill != nil {
			return nil, ill
		}
	}
	return found, err
}

// ask asks one question, and remembers the answer if it is for the login's owner:
// which of the projects it may pull from.
func (h *Harbor) ask(ctx context.Context, l login, repositories []string) (map[string]bool, error) {
	scopes := make([]tokencache.Scope, len(repositories))
	for i, repository := range repositories {
		scopes[i] = pullFrom(repository)
	}
	began := time.Now()
	grant, err := h.options.Upstream.Ask(ctx, tokencache.Credentials{Username: l.username, Password: l.secret}, scopes...)
	switch {
	case err != nil:
		return nil, err
	case grant.Subject == "": // with pull, too: what is public is granted to nobody in particular
		return nil, errNobody
	case grant.Subject != l.username:
		return nil, anothers(l, grant.Subject)
	}
	h.known.put(l.print, began, began.Add(lately))
	found := make(map[string]bool, len(repositories))
	for i, repository := range repositories {
		project := projectOf(repository)
		found[project] = grant.Allows(scopes[i])
		h.note(l, project, found[project], began)
	}
	return found, nil
}

// anothers is for a login that Harbor takes for somebody else's, such as one by an
// e-mail address, or in other letters: rules and limits are about names, so it has to
// come by its name.
func anothers(l login, subject string) *Refusal {
	cause := fmt.Errorf("Harbor's token names %.*q", longestInLogs, subject)
	if !strings.Contains(l.username, "@") && !strings.EqualFold(subject, l.username) {
		return wrong(cause)
	}
	return unauthorized(BadCredentials, cause, "Harbor knows you as %.*q: log in with that name", longestHarborUsername, subject)
}

// control is the control sample: nil if Harbor accepts our own account now, after it
// refused another, and says that it is well. With its database down it calls every
// password wrong, and its health notices only at the next check. What was found out
// before that refusal would prove nothing. Errors but ctx's own hide what they are of:
// how long our own account is left alone is not for the client.
func (h *Harbor) control(ctx context.Context) error {
	grant, err := h.options.Upstream.Grant(ctx, tokencache.Scope{})
	if err == nil && grant.Subject == "" {
		err = errors.New("there is none, or none that Harbor names")
	}
	if err == nil {
		err = h.options.Upstream.Health(ctx)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("Harbor refuses the login, but its word on Breakwater's own account is no better: %v", err)
	}
	return nil
}

// conclude makes of what Harbor said an error for the client, nil if it is who it says,
// and remembers a no. Of what is neither, nothing is remembered.
func (h *Harbor) conclude(l login, known bool, err error) error {
	if err == nil {
		if !known {
			h.attempts.succeeded(l.from, l.account())
		}
		h.checked(Accepted, nil)
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, flight.ErrClosed) {
		return err // nobody waits any more
	}
	refusal, rejected := errors.AsType[*Refusal](err)
	if _, refused := errors.AsType[*tokencache.RefusedError](err); refused {
		h.attempts.failed(l.from, l.account(), l.print)
		refusal, rejected = wrong(l.whose()), true
	}
	if !rejected {
		h.checked(Unknown, err)
		seconds := pauseAfter(err)
		return later(Unverifiable, seconds, err, "Harbor cannot tell just now who you are: try again in %d s", seconds)
	}
	h.known.drop(l.print)
	h.refused.put(l.print, refusal, time.Now().Add(rejectedLoginMemory))
	h.checked(Rejected, nil)
	return refusal
}

// checked counts what came of a check, and logs when Harbor falls silent and speaks
// again.
func (h *Harbor) checked(result Result, err error) {
	h.options.Events.CredentialsChecked(h.options.Listener, result)
	silent := result == Unknown
	switch {
	case h.silent.Swap(silent) == silent:
	case silent:
		h.options.Log.Warn("Harbor cannot tell who clients are: they are answered 503", zap.Error(err))
	default:
		h.options.Log.Info("Harbor tells again who clients are")
	}
}

// pauseAfter is when it is worth to ask again, in seconds.
func pauseAfter(err error) int {
	if err == errPassing {
		return int(laneRest.Seconds())
	}
	if unavailable, ok := errors.AsType[*tokencache.UnavailableError](err); ok && unavailable.RetryAfter > 0 {
		return int(math.Ceil(min(unavailable.RetryAfter.Seconds(), longestUnverifiablePause)))
	}
	return unverifiablePause
}
