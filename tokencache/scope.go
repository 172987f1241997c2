package tokencache

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A Scope names a resource and the actions wanted, or granted, on it: the
// "resource scope" of the Docker token specification. Its JSON form is one
// element of a token's access claim.
type Scope struct {
	Type    string   `json:"type"`    // "repository" or "registry"
	Name    string   `json:"name"`    // "team-a/app" or "catalog"
	Actions []string `json:"actions"` // "pull", "push", "delete", "*"
}

// ParseScope reads type:name:action[,action…]. A name may hold colons itself
// (a host and port), so the first and the last colon count.
func ParseScope(text string) (Scope, error) {
	kind, rest, _ := strings.Cut(text, ":")
	colon := strings.LastIndexByte(rest, ':')
	if kind == "" || colon < 1 || colon == len(rest)-1 || strings.ContainsAny(text, " \t\r\n") {
		return Scope{}, fmt.Errorf("scope %q: want type:name:actions, for instance repository:team-a/app:pull", text)
	}
	return Scope{Type: kind, Name: rest[:colon], Actions: strings.Split(rest[colon+1:], ",")}, nil
}

// String is the inverse of [ParseScope]; a scope without actions ends in a colon.
func (s Scope) String() string {
	return s.Type + ":" + s.Name + ":" + strings.Join(s.Actions, ",")
}

// catalog tells the scope of GET /v2/_catalog (end of the distribution
// specification's "Listing Repositories"), which Harbor grants by Basic alone.
func (s Scope) catalog() bool { return s.Type == "registry" && s.Name == "catalog" }

// key is what tokens for s are kept under. At Harbor a repository's key is its
// project: rights are per project, the actions asked for are ignored, and a
// token for team-a/big reads team-a/app. A name without a project keeps a key of
// its own, which no project's can equal for want of the slash.
func (s Scope) key(harbor bool) string {
	if project, _, nested := strings.Cut(s.Name, "/"); harbor && nested && s.Type == "repository" {
		return s.Type + ":" + project + "/"
	}
	actions := slices.Clone(s.Actions)
	slices.Sort(actions)
	return Scope{s.Type, s.Name, slices.Compact(actions)}.String()
}

// keyOf joins the keys of several scopes, whatever their order. A space cannot
// be part of a scope: RFC 6749 §3.3 separates scopes by it.
func keyOf(scopes []Scope, harbor bool) string {
	keys := make([]string, 0, len(scopes))
	for _, s := range scopes {
		keys = append(keys, s.key(harbor))
	}
	slices.Sort(keys)
	return strings.Join(slices.Compact(keys), " ")
}

type scopesKey struct{}

// WithScope says which rights the requests made with the context need, so that
// the right token is at hand before upstream has to refuse one. Without it a
// request is sent with a token that was asked for without scope, which is enough
// for GET /v2/ alone.
func WithScope(ctx context.Context, scopes ...Scope) context.Context {
	return context.WithValue(ctx, scopesKey{}, slices.Clone(scopes))
}

func scopesOf(ctx context.Context) []Scope {
	scopes, _ := ctx.Value(scopesKey{}).([]Scope)
	return scopes
}
