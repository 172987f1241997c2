package access

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
)

// Anonymous is the [Mode] in which nobody has to say who they are: what is asked
// is where they come from. An Authorization that a client sends all the same, and
// some send their users' passwords for another registry, is not looked at.
type Anonymous struct {
	networks []netip.Prefix
}

// NewAnonymous lets in whoever comes from one of the networks.
func NewAnonymous(networks []netip.Prefix) *Anonymous { return &Anonymous{networks} }

// Name implements [Mode].
func (a *Anonymous) Name() string { return "anonymous" }

// Authenticate implements [Mode].
func (a *Anonymous) Authenticate(_ context.Context, r *http.Request) (Client, error) {
	from := address(r)
	if !slices.ContainsFunc(a.networks, func(n netip.Prefix) bool { return n.Contains(from) }) {
		return Client{}, forbidden(WrongAddress, errors.New("no network of this listener's anonymous.networks holds the client's address"),
			"%s is not an address that this registry serves: its operator can add a network", from)
	}
	return Client{}, nil
}

// Challenge implements [Mode]: there is none.
func (a *Anonymous) Challenge() string { return "" }

// Reload implements [Mode]: there are no files.
func (a *Anonymous) Reload() error { return nil }

// Close implements [Mode].
func (a *Anonymous) Close() error { return nil }
