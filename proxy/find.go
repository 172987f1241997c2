package proxy

import (
	"strings"

	"breakwater/proxy/access"
	"breakwater/proxy/registry"
)

// find finds the route: after it the request is the canonical one, and its origin is
// known. Of a base or a catalog that names no route there is none.
func (x *exchange) find() error {
	match, err := x.Routes.Find(x.written, x.usual)
	if err != nil {
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

// told is a refusal in the client's words: whatever was asked for has the name that the
// client wrote, and no word of where in upstream that is.
func (x *exchange) told(refusal *registry.Error) *registry.Error {
	if x.origin == nil || x.request.Name == x.written.Name {
		return refusal
	}
	renamed := *refusal
	renamed.Message = strings.NewReplacer(
		x.request.Name, x.written.Name,
		"project "+registry.Project(x.request.Name), "the project behind "+x.route.Name,
	).Replace(refusal.Message)
	return &renamed
}
