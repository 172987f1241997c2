package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"breakwater/proxy/registry"
	"breakwater/proxy/upstream"
	"breakwater/tokencache"
)

// repository looks at one repository.
func (v *visit) repository(ctx context.Context, c candidate) {
	v.Section("repository " + c.name + " of " + v.Name)
	if !v.rights(ctx, c) {
		v.skip("the rest", "it takes the right to pull")
		return
	}
	kind := unknownProject
	if v.harbor {
		kind = v.project(ctx, c.name)
	}
	if kind == emptyRepository {
		v.skip("the rest", "there is nothing to pull")
		return
	}
	tag, ok := v.manifest(ctx, c.name)
	switch {
	case !ok:
	case kind == proxyCache:
		v.skip("blob", "it would make Harbor fetch the image from its source")
	default:
		v.blob(ctx, c.name, tag)
	}
}

// rights prints what a token really grants: Harbor ignores the actions asked
// for and lists every right that the account has in the project.
func (v *visit) rights(ctx context.Context, c candidate) bool {
	ctx, cancel := step(ctx)
	defer cancel()
	pull := upstream.Scopes(registry.Request{Kind: registry.KindManifest, Name: c.name})[0]
	grant, err := v.Client.Grant(ctx, pull)
	var nothing *tokencache.NoGrantError
	switch {
	case errors.As(err, &nothing):
		v.noPull(c)
		return false
	case err != nil:
		seen, todo := v.explain(err)
		v.Fail("rights", seen, todo)
		return false
	case grant.Opaque:
		v.Note("rights", "nothing says what is granted; the manifest will tell")
		return true
	case !grant.Allows(pull):
		v.noPull(c)
		return false
	}
	if more := beyondPull(grant); len(more) > 0 {
		v.Warn("rights", fmt.Sprintf("%s may pull, and also %s", v.whoever(), and(more)),
			"take these rights from the account: Breakwater needs pull only, and whoever steals its password would have them")
		return true
	}
	v.OK("rights", v.whoever()+" may pull, and nothing else")
	return true
}

// noPull is a failure where the repository is to be served, and worth a note
// where it was only found.
func (v *visit) noPull(c candidate) {
	seen := fmt.Sprintf("%s has no pull on %s", v.whoever(), c.name)
	if !c.asked {
		v.Note("rights", seen+": Breakwater will not serve it")
		return
	}
	place := "the repository"
	if v.harbor {
		seen += ", or there is no project " + registry.Project(c.name) + " (Harbor answers the same)"
		place = "project " + registry.Project(c.name)
	}
	todo := "give the account pull on " + place + ", or leave the repository out"
	if host := registry.Project(c.name); strings.Contains(host, ".") {
		todo += "; if " + host + " is a host, leave it out of the name"
	}
	if v.Account == "" {
		todo = "set username and password_file of an account that has it"
	}
	v.Fail("rights", seen, todo)
}

func (v *visit) whoever() string {
	if v.Account == "" {
		return "anonymous access (no account is configured)"
	}
	return v.Account
}

// beyondPull lists what a grant holds besides pull.
func beyondPull(g tokencache.Grant) []string {
	var more []string
	for _, scope := range g.Access {
		for _, action := range scope.Actions {
			if action != "pull" && !slices.Contains(more, action) {
				more = append(more, action)
			}
		}
	}
	return more
}
