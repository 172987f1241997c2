package tokencache

import (
	"context"
	"sync"
	"time"

	"breakwater/internal/redact"

	"go.uber.org/zap"
)

// Credentials are the account that upstream knows us by. The zero value is
// anonymous access.
type Credentials struct {
	Username string
	Password redact.Secret
}

func (c Credentials) anonymous() bool { return c == Credentials{} }

// States of the credential, as [Events] reports them.
const (
	StateUnknown     = "unknown"     // not tried yet
	StateAccepted    = "accepted"    // the last exchange was answered as it should be
	StateRefused     = "refused"     // upstream refuses it; the operator has to do something
	StateUnavailable = "unavailable" // upstream could not be asked, or says that it is ill
)

// States are all states of a credential, for whoever shows each.
func States() []string {
	return []string{StateUnknown, StateAccepted, StateRefused, StateUnavailable}
}

const (
	healthLimit = 2 * time.Second // for one question to health
	healthPause = 5 * time.Second // between two of them while upstream is ill
)

// A credential is what the exchanges so far say of the identity as a whole, and
// the back-off while they say nothing good.
type credential struct {
	report func(state string) // told of each change, in order: under mu

	mu        sync.Mutex // guards all below
	state     string
	tried     *Credentials // whose verdict this is; nil while none was tried
	settled   uint64       // generation of the newest exchange that was counted
	grown     uint64       // generations up to this one have lengthened the back-off
	backoff   backoff
	err       error     // remembered while the back-off lasts
	askHealth time.Time // upstream is ill: health may be asked from then on; else zero
}

// proven reports whether the very credentials were accepted last.
func (s *credential) proven(creds Credentials) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == StateAccepted && *s.tried == creds
}

// A setback is the error that is remembered under back-off.
type setback struct {
	err     error
	tried   *Credentials // nil: whatever the credentials
	settled uint64
}

// setback returns what is remembered, the time to the next try brought up to
// date, or the zero value.
func (s *credential) setback(now time.Time) setback {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.backoff.active(now) {
		return setback{}
	}
	err := s.err
	if unavailable, ok := err.(*UnavailableError); ok {
		current := *unavailable
		current.RetryAfter = s.backoff.until.Sub(now)
		err = &current
	}
	return setback{err, s.tried, s.settled}
}

// mayAskHealth hands the question to one caller per pause.
func (s *credential) mayAskHealth(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.askHealth.IsZero() || now.Before(s.askHealth) {
		return false
	}
	s.askHealth = now.Add(healthPause)
	return true
}

// restart ends the back-off: there is news, so the next request tries again. It
// does nothing when another exchange has failed meanwhile.
func (s *credential) restart(after setback) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.settled == after.settled {
		s.backoff, s.err, s.askHealth = backoff{}, nil, time.Time{}
	}
}

// accept and fail count a verdict unless a newer exchange's is known already, and
// report whether the state changed.
func (s *credential) accept(generation uint64, creds Credentials) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if generation < s.settled {
		return false
	}
	changed = s.state != StateAccepted
	s.state, s.tried, s.settled = StateAccepted, &creds, generation
	s.backoff, s.err, s.askHealth = backoff{}, nil, time.Time{}
	if changed {
		s.report(s.state)
	}
	return changed
}

// fail lengthens the back-off once for all exchanges that were under way together;
// newest is the generation of the last one begun.
func (s *credential) fail(generation, newest uint64, creds *Credentials, state string, err error, now time.Time) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if generation < s.settled {
		return false
	}
	changed = s.state != state
	s.state, s.tried, s.settled, s.err = state, creds, generation, err
	s.askHealth = time.Time{}
	if generation > s.grown {
		s.grown = newest
		var least time.Duration
		if unavailable, ok := err.(*UnavailableError); ok {
			least = unavailable.RetryAfter
		}
		s.backoff.extend(now, least)
	}
	switch err := err.(type) {
	case *UnavailableError:
		err.RetryAfter = s.backoff.until.Sub(now)
		if err.ill {
			s.askHealth = now.Add(healthPause)
		}
	case *CredentialError:
		err.Until = s.backoff.until
	}
	if changed {
		s.report(s.state)
	}
	return changed
}

// gate returns the remembered error while the back-off lasts, without a call
// upstream: unless the credentials are others by now, or upstream was ill and its
// health, asked by one caller every five seconds, says that it is well again.
func (c *Cache) gate(ctx context.Context) error {
	last := c.credential.setback(time.Now())
	if last.err == nil {
		return nil
	}
	if last.tried != nil {
		if now, err := c.credentials(); err == nil && now != *last.tried {
			c.credential.restart(last)
			return nil
		}
	}
	if c.health == nil || !c.credential.mayAskHealth(time.Now()) {
		return last.err
	}
	_, ill := c.checkups.Do(ctx, struct{}{}, func(ctx context.Context) (struct{}, error) {
		ctx, cancel := context.WithTimeout(ctx, healthLimit)
		defer cancel()
		return struct{}{}, c.health(ctx)
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case ill != nil:
		return last.err
	}
	c.credential.restart(last)
	return nil
}

// Retry ends the back-off: the caller knows of a change, such as a new certificate
// authority, after which upstream is worth asking at once.
func (c *Cache) Retry() {
	if last := c.credential.setback(time.Now()); last.err != nil {
		c.credential.restart(last)
	}
}

// admit lets one exchange at a time try credentials that are not known to be
// good, so that a refused password is tried once and not once per scope.
func (c *Cache) admit(ctx context.Context, creds Credentials) (done func(), err error) {
	if c.credential.proven(creds) {
		return func() {}, nil
	}
	select {
	case c.trial <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	done = func() { <-c.trial }
	if last := c.credential.setback(time.Now()); last.err != nil && (last.tried == nil || *last.tried == creds) {
		done()
		return nil, last.err
	}
	if c.credential.proven(creds) {
		done()
		return func() {}, nil
	}
	return done, nil
}

// settle draws the conclusions of an exchange, or of a ping (without creds). An
// exchange that nobody waited for says nothing.
func (c *Cache) settle(ctx context.Context, generation uint64, creds *Credentials, err error) {
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		if c.credential.accept(generation, *creds) {
			c.log.Info("upstream accepts the credential", zap.String("origin", c.origin), zap.String("account", creds.Username))
		}
		return
	}
	state, message := StateUnavailable, "no token can be had from upstream"
	if refused, ok := err.(*CredentialError); ok {
		if refused.Account == "" {
			return // nothing was tried
		}
		state, message = StateRefused, "upstream refuses the credential"
	}
	if !c.credential.fail(generation, c.generations.Load(), creds, state, err, time.Now()) {
		return
	}
	fields := []zap.Field{zap.String("origin", c.origin), zap.Error(err)}
	if creds != nil {
		fields = append(fields, zap.String("account", creds.Username))
	}
	c.log.Error(message, fields...)
}
