package harbortest

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strings"
	"time"
)

// Account is a robot (its name begins with "robot$") or a database user.
type Account struct {
	Name, Password string
	Admin          bool
	Disabled       bool
	Expires        time.Time // zero: never
	Pull, Push     []string  // projects, "*" for all; push includes pull
	Catalog        bool      // may list the catalog
}

// robot accounts are not blocked after a wrong password.
func (a Account) robot() bool { return strings.HasPrefix(a.Name, "robot$") }

// actions lists what the account may do in a project.
func (a Account) actions(p Project) []string {
	in := func(names []string) bool { return slices.Contains(names, "*") || slices.Contains(names, p.Name) }
	switch {
	case a.Admin:
		return []string{"pull", "push", "delete"}
	case in(a.Push):
		return []string{"pull", "push"}
	case in(a.Pull), p.Public:
		return []string{"pull"}
	}
	return []string{}
}

// AddAccount adds an account, or replaces the one of that name.
func (h *Harbor) AddAccount(a Account) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.accounts[a.Name] = a
	h.keepSecret(a.Password)
	h.keepSecret(base64.StdEncoding.EncodeToString([]byte(a.Name + ":" + a.Password)))
}

// SetPassword rotates an account's password.
func (h *Harbor) SetPassword(account, password string) {
	h.change(account, func(a *Account) { a.Password = password })
}

// Disable disables an account: its credentials are refused, its tokens live on.
func (h *Harbor) Disable(account string) {
	h.change(account, func(a *Account) { a.Disabled = true })
}

// SetRights replaces the projects that an account may pull from and push to.
// Its tokens keep the rights that they were issued with.
func (h *Harbor) SetRights(account string, pull, push []string) {
	h.change(account, func(a *Account) { a.Pull, a.Push = pull, push })
}

// Remove deletes an account. Its tokens live on.
func (h *Harbor) Remove(account string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.accounts, account)
}

// SetLoginDelay sets how long the answer to a wrong password takes, and how long
// a database user's right password is refused after it. It is 1.5 s in a Harbor
// and in a new stand-in; zero switches both off.
func (h *Harbor) SetLoginDelay(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.loginDelay = d
}

func (h *Harbor) change(account string, f func(*Account)) {
	h.mu.Lock()
	a, ok := h.accounts[account]
	h.mu.Unlock()
	if ok {
		f(&a)
		h.AddAccount(a)
	}
}

// login checks a name and a password. A failure takes the login delay, and a
// database user is refused meanwhile whatever the password.
func (h *Harbor) login(ctx context.Context, name, password string) (Account, bool) {
	now := time.Now()
	h.mu.Lock()
	if h.down[Database] || now.Before(h.frozen[name]) {
		h.mu.Unlock()
		return Account{}, false
	}
	a, known := h.accounts[name]
	good := known && !a.Disabled && (a.Expires.IsZero() || now.Before(a.Expires)) &&
		subtle.ConstantTimeCompare([]byte(a.Password), []byte(password)) == 1
	delay := h.loginDelay
	if !good && known && !a.robot() {
		h.frozen[name] = now.Add(delay)
	}
	h.mu.Unlock()
	if !good {
		sleep(ctx, delay)
	}
	return a, good
}

// sleep waits for d or until the client has gone.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
