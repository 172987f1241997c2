package proxy

import (
	"fmt"
	"strings"

	"breakwater/internal/pattern"
	"breakwater/proxy/access"
	"breakwater/proxy/registry"
	"breakwater/proxy/route"
)

// find finds the route: after it the request is the canonical one, and its origin is
// known. Of a base or a catalog that names no route there is none.
func (x *exchange) find() error {
	match, err := x.Routes.Find(x.written, x.usual)
	switch {
	case err != nil && x.gate.Hide && x.written.Name != "":
		return access.Hidden(x.written.Kind, x.written.Name).Because(err) // as if it were denied
	case err != nil && x.gate.Hide:
		return access.Hidden(x.written.Kind, "this registry").Because(err)
	case err != nil:
		return err
	}
	x.route, x.request = match.Route, match.Request
	x.origin = x.origins[match.Route.Upstream]
	return nil
}

// wanted is the repository that was found; the zero one where there is none.
func (x *exchange) wanted() access.Repository {
	if x.origin == nil || x.request.Name == "" {
		return access.Repository{}
	}
	return x.named(x.route.Upstream, x.request.Name)
}

// named is upstream's repository with all names that clients have for it.
func (p *Proxy) named(upstream, repository string) access.Repository {
	return access.Repository{Upstream: upstream, Name: repository, Names: p.Routes.Names(upstream, repository)}
}

// spellings are patterns of all names that clients may have for repositories that a route
// leads to: its own, and those of routes that lead to a place around it or within.
func (p *Proxy) spellings(of route.Route) []pattern.Pattern {
	var names []pattern.Pattern
	for _, r := range p.Routes.Routes() {
		within, around := strings.CutPrefix(place(of), place(r))
		if r.Upstream == of.Upstream && (around || strings.HasPrefix(place(r), place(of))) {
			if !around {
				within = ""
			}
			names = append(names, pattern.New(r.Name+"/"+within+"**"))
		}
	}
	return names
}

// told is a refusal in the client's words: whatever was asked for has the name that the
// client wrote, and no word of where in upstream that is.
func (x *exchange) told(refusal *registry.Error) *registry.Error {
	renamed := *refusal
	switch {
	case x.origin == nil:
		return refusal
	case x.written.Kind == registry.KindCatalog && x.written == x.request && x.route.Name != "" && len(x.Routes.Routes()) > 1:
		renamed.Message += fmt.Sprintf("; the list of all registries needs that of %s, and that of one alone is at /NAME/v2/_catalog", x.route.Name)
		return &renamed
	case x.written.Name == x.request.Name:
		return refusal
	}
	renamed.Message = rename(refusal.Message, x.request.Name, x.written.Name)
	renamed.Message = rename(renamed.Message, "project "+registry.Project(x.request.Name), "the project behind "+x.route.Name)
	return &renamed
}

// rename replaces a name in a sentence, where it is not a part of a longer one. A name of
// one word, which may be any word, stays: where upstream has such a name, it is the
// client's own.
func rename(sentence, name, by string) string {
	if !strings.ContainsAny(name, "/ ") {
		return sentence
	}
	var b strings.Builder
	for {
		before, after, found := strings.Cut(sentence, name)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if whole := !endsInName(b.String()) && !beginsInName(after); whole {
			b.WriteString(by)
		} else {
			b.WriteString(name)
		}
		sentence = after
	}
}

func endsInName(s string) bool   { return s != "" && inName(s[len(s)-1]) }
func beginsInName(s string) bool { return s != "" && inName(s[0]) }

// inName tells of a byte that it may be one of a repository's name.
func inName(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("._-/", c) >= 0
}
