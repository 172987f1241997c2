package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"breakwater/internal/flight"
	"breakwater/internal/redact"

	"go.uber.org/zap"
	"golang.org/x/crypto/bcrypt"
)

// wrongPasswordMemory is how long a wrong password is known as one: a client that comes
// again and again with it is told so without another hash.
const wrongPasswordMemory = time.Minute

// PasswordOptions are what a [Password] needs. All but Log are required.
type PasswordOptions struct {
	// Read returns the htpasswd file as it is now.
	Read     func() ([]byte, error)
	Listener string // its address as configured, for logs and metrics
	Events   Events
	Log      *zap.Logger // may be nil
}

// Password is the [Mode] of user names and passwords, sent as Basic (RFC 7617), of an
// htpasswd file with bcrypt hashes.
//
// A hash is slow on purpose, so each is made once. That a password is the one of a
// hash, or is not, stays true whatever becomes of the file: it is remembered by user
// name, hash and password. Whose line is removed or replaced is let in no more from
// [Password.Reload] on, and of everybody else nothing is forgotten.
type Password struct {
	options PasswordOptions
	compare func(hash, password []byte) error // bcrypt's

	reloading sync.Mutex // held by Reload alone: of two files the later read stays in use
	file      atomic.Pointer[htpasswd]

	accepted *memory[struct{}] // apart from refused, so that guesses drive out no login
	refused  *memory[struct{}]
	attempts *attempts
	hashing  *hashing
	life     *flight.Life
	checks   *flight.Group[check, bool]
}

// check is one login that is being hashed, for all requests of one neighbourhood
// that bring it.
type check struct {
	from  netip.Prefix
	login fingerprint
}

// NewPassword reads the file. The error is that of Read, or names the line of the file and what to do.
func NewPassword(o PasswordOptions) (*Password, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	life := flight.NewLife()
	p := &Password{
		options: o, compare: bcrypt.CompareHashAndPassword,
		accepted: newMemory[struct{}](), refused: newMemory[struct{}](),
		attempts: newAttempts(), hashing: newHashing(),
		life: life, checks: flight.NewGroup[check, bool](life),
	}
	if err := p.Reload(); err != nil {
		return nil, err
	}
	return p, nil
}

// Name implements [Mode].
func (p *Password) Name() string { return "password" }

// Challenge implements [Mode].
func (p *Password) Challenge() string { return Basic }

// Reload implements [Mode].
func (p *Password) Reload() error {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	data, err := p.options.Read()
	if err != nil {
		return fmt.Errorf("reading the htpasswd file: %w", err)
	}
	file, err := parseHtpasswd(data)
	if err != nil {
		return fmt.Errorf("htpasswd file: %w", err)
	}
	p.file.Store(file)
	log := p.options.Log.Info
	if len(file.hashes) == 0 {
		log = p.options.Log.Warn // nobody can log in: the last user was removed, or it is the wrong file
	}
	log("htpasswd file read", zap.Int("users", len(file.hashes)))
	return nil
}

// Close implements [Mode]: it waits for what is being hashed.
func (p *Password) Close() error {
	p.life.End()
	return nil
}

// Authenticate implements [Mode].
func (p *Password) Authenticate(ctx context.Context, r *http.Request) (Client, error) {
	c, err := basicOf(r, "a user name and a password", longestUsername, longestPassword)
	if err != nil {
		return Client{}, err
	}
	from := address(r)
	for {
		hash := p.file.Load().hashes[c.username] // "" for nobody's
		right, err := p.verify(ctx, from, c, hash)
		switch {
		case err != nil:
			return Client{}, err
		case p.file.Load().hashes[c.username] != hash:
			continue // replaced meanwhile: what was found out is about a line that is gone
		case !right:
			return Client{}, wrong(whose(c.username, hash))
		}
		return Client{Subject: c.username}, nil
	}
}

// verify tells whether the password is the hash's. What is remembered costs nothing;
// of what is not, a neighbourhood's requests share one check. An error says why it
// could not be told.
func (p *Password) verify(ctx context.Context, from netip.Addr, c credentials, hash string) (right bool, err error) {
	login := p.accepted.fingerprint(c.username, hash, c.secret.Reveal())
	if right, known := p.recall(login); known {
		return right, nil
	}
	right, err = p.checks.Do(ctx, check{neighbourhood(from), login}, func(ctx context.Context) (bool, error) {
		return p.check(ctx, from, c, hash, login)
	})
	switch {
	case err != nil && ctx.Err() != nil:
		err = overdue(ctx, busy(context.Cause(ctx)))
	case errors.Is(err, flight.ErrClosed):
		err = busy(err)
	}
	return right, err
}

// check hashes the password once there is room for it, and remembers what came of it.
func (p *Password) check(ctx context.Context, from netip.Addr, c credentials, hash string, login fingerprint) (right bool, err error) {
	leave, ok := p.hashing.enter(from, c.username)
	if !ok {
		return false, busy(errors.New("the queue of logins to check is full, for all or for whoever comes from there"))
	}
	defer leave()
	if refusal := p.attempts.slowedDown(from, c.username, whose(c.username, hash)); refusal != nil {
		return false, refusal
	}
	if err := p.hashing.begin(ctx); err != nil {
		return false, err
	}
	defer p.hashing.end()
	if right, known := p.recall(login); known {
		return right, nil // it was checked for another neighbourhood meanwhile
	}
	right = p.matches(hash, c.secret)
	p.remember(login, right)
	if right {
		p.attempts.succeeded(from, c.username)
		p.options.Events.CredentialsChecked(p.options.Listener, Accepted)
	} else {
		p.attempts.failed(from, c.username, login)
		p.options.Events.CredentialsChecked(p.options.Listener, Rejected)
	}
	return right, nil
}

// matches hashes the password. Where there is no such user it does so all the same,
// so that the time tells nobody which names there are.
func (p *Password) matches(hash string, password redact.Secret) bool {
	against := hash
	if hash == "" {
		against = p.file.Load().nobodys
	}
	// No other error than that of a wrong password is possible: hashes and passwords
	// that bcrypt does not take were refused before.
	return p.compare([]byte(against), []byte(password.Reveal())) == nil && hash != ""
}

// recall is what was found out about a login before; known is false if nothing was.
func (p *Password) recall(login fingerprint) (right, known bool) {
	if _, right = p.accepted.get(login); right {
		return true, true
	}
	_, known = p.refused.get(login)
	return false, known
}

func (p *Password) remember(login fingerprint, right bool) {
	if right {
		p.accepted.put(login, struct{}{}, time.Time{})
		return
	}
	p.refused.put(login, struct{}{}, time.Now().Add(wrongPasswordMemory))
}

// basicOf reads the Basic credentials of a request, and refuses what can be
// nobody's; what tells the client what to log in with. The lengths are in bytes.
func basicOf(r *http.Request, what string, longestUsername, longestPassword int) (credentials, error) {
	c, given, ok := presented(r)
	switch {
	case !ok || c.bearer:
		return c, unauthorized(BadCredentials, errors.New("an Authorization that is not Basic"), "this registry takes %s: log in with these", what)
	case !given:
		return c, unauthorized(NoCredentials, nil, "this registry wants %s: log in first", what)
	case !sendable(c.username, longestUsername) || !sendable(c.secret.Reveal(), longestPassword):
		return c, wrong(errors.New("empty or too long, or with control characters"))
	}
	return c, nil
}

// sendable tells whether a text can be a user name or a password: RFC 7617 §2 has no
// control characters in them, and without any password nobody is let in. It depends
// on the text alone, and so tells nothing about who is known.
func sendable(text string, longest int) bool {
	return text != "" && len(text) <= longest && !strings.ContainsFunc(text, unicode.IsControl)
}

// whose tells the log about whose password it is. A name that nobody has is not shown:
// it may be a password, typed in the wrong place.
func whose(username, hash string) error {
	if hash == "" {
		return errors.New("no user of that name is in the file")
	}
	return fmt.Errorf("not the password of %q", username)
}

// wrong does not say which of the two it is: the cause is for the log.
func wrong(cause error) *Refusal {
	return unauthorized(BadCredentials, cause, "wrong user name or password")
}

func busy(cause error) *Refusal {
	return later(Busy, 1, cause, "too many logins are being checked just now: try again")
}
