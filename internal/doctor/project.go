package doctor

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"breakwater/proxy/registry"
)

// projectKind is what a repository's project looks like.
type projectKind int

const (
	unknownProject projectKind = iota
	ordinary
	proxyCache
	emptyRepository // in an ordinary project, and not there
)

// noSuchTag is asked for to see how Harbor says that it is missing.
const noSuchTag = "breakwater-check-no-such-tag"

// project prints whether Harbor keeps the content itself or proxies another
// registry. Its API says so only to accounts with more rights than ours, so it
// is read from the words in which Harbor misses a tag. That costs the other
// registry one HEAD.
func (v *visit) project(ctx context.Context, name string) projectKind {
	resp, err := v.read(ctx, registry.Request{Kind: registry.KindManifest, Method: http.MethodGet, Name: name, Tag: noSuchTag})
	if err != nil {
		seen, todo := v.explain(err)
		v.Fail("project", seen, todo)
		return unknownProject
	}
	said := refusalOf(resp)
	missed := func(what string) bool {
		return said.status == http.StatusNotFound && strings.HasPrefix(said.message, what)
	}
	project := registry.Project(name)
	switch {
	case missed("resource not found: repo "):
		v.OK("project", project+" looks like a proxy-cache project: what it lacks it fetches from its source")
		return proxyCache
	case missed("artifact "):
		v.OK("project", project+" looks like an ordinary project (or a proxy-cache project whose source is down)")
		return ordinary
	case missed("repository "):
		v.Warn("project", fmt.Sprintf("%s looks like an ordinary project, and nothing was ever pushed to %s", project, name), "look at the name, or push to it")
		return emptyRepository
	case said.status == http.StatusUnauthorized || said.status >= 500:
		v.Fail("project", "a missing tag is answered with "+said.String(), advice(said))
	default:
		v.Note("project", "nothing can be told of it: a missing tag is answered with "+said.String())
	}
	return unknownProject
}
