package route_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/pattern"
	"breakwater/proxy/registry"
	"breakwater/proxy/route"
)

// leads makes a route: to is an upstream, and after a / the prefix there.
func leads(name, to string, repositories ...string) route.Route {
	upstream, prefix, _ := strings.Cut(to, "/")
	return route.Route{Name: name, Upstream: upstream, Prefix: prefix, Repositories: pattern.All(repositories...)}
}

func TestConflicts(t *testing.T) {
	hub, quay := leads("docker.io", "harbor/hub-proxy", "**"), leads("quay.io", "harbor/quay-proxy", "**")
	long := strings.Repeat("a", 250)
	for name, test := range map[string]struct {
		routes []route.Route
		want   []string // route.key what; fix — each the beginning of its part
	}{
		"none": {nil, nil},
		"the usual ones": {[]route.Route{hub, quay, leads("ghcr.io", "harbor/ghcr-proxy", "acme/**"),
			leads("harbor.example.com", "harbor", "platform/**", "team-a/**"), leads("harbor.example.com:8443", "other", "**")}, nil},
		"the sample":      {sample, nil},
		"patterns, fine":  {[]route.Route{leads("docker.io", "harbor/hub-proxy", "library/**", "library/nginx", "acme/**", "*/app", "**/x", "a**", "*/*", "a-*/b*c", "**b")}, nil},
		"on Harbor, fine": {[]route.Route{leads("harbor.example.com", "harbor", "team-a/**", "**", "*/app", "team-a/app", "team-*/**", "team-**", "hub-proxy/library/nginx")}, nil},
		"one part, fine":  {[]route.Route{leads("quay.io", "harbor/quay-proxy", "app", "app-*", "*")}, nil},

		"alias":                {[]route.Route{leads("index.docker.io", "harbor/hub-proxy", "**")}, []string{"index.docker.io. is another name of docker.io; write docker.io,"}},
		"alias beside":         {[]route.Route{hub, leads("registry-1.docker.io", "harbor/other", "**")}, []string{"registry-1.docker.io. is another name of docker.io; write docker.io,"}},
		"alias with port":      {[]route.Route{leads("index.docker.io:443", "harbor/hub-proxy", "**")}, []string{"index.docker.io:443. is another name of docker.io; write docker.io,"}},
		"capitals":             {[]route.Route{leads("Quay.io", "harbor/quay-proxy", "**")}, []string{"Quay.io. is another name of quay.io; write quay.io,"}},
		"the default port":     {[]route.Route{leads("quay.io:443", "harbor/quay-proxy", "**")}, []string{"quay.io:443. is another name of quay.io; write quay.io,"}},
		"another port":         {[]route.Route{leads("index.docker.io:5000", "harbor/hub-proxy", "**")}, nil},
		"one in a path":        {[]route.Route{leads("a.example.com:80", "harbor/a", "**"), leads("a.example.com_80", "harbor/b", "**")}, []string{"a.example.com_80. is the same as a.example.com:80 where a path names it; remove"}},
		"twice":                {[]route.Route{hub, leads("docker.io", "harbor/b", "**")}, []string{"docker.io. is the same as docker.io; remove"}},
		"no room":              {[]route.Route{leads("docker.io", "harbor/"+long, "**")}, []string{"docker.io.to leaves no room; write a shorter one"}},
		"room":                 {[]route.Route{leads("quay.io", "harbor/"+long, "**", "abcd")}, nil},
		"no room for this one": {[]route.Route{leads("quay.io", "harbor/"+long, "abcd", "abcde", "a*b*c*d*e")}, []string{"quay.io.repositories[1] opens nothing; write a shorter", "quay.io.repositories[2] opens nothing; write a shorter"}},
		"a long name":          {[]route.Route{leads("quay.io", "harbor/q", long+"abc*"), leads("a.io", "harbor/a", long+"abcd*")}, []string{"a.io.repositories[0] opens nothing; write a shorter"}},

		"the same place":             {[]route.Route{hub, leads("mirror.example.com", "harbor/hub-proxy", "acme/**", "library/**")}, []string{"mirror.example.com.repositories[0] opens what ** of docker.io opens; leave each", "mirror.example.com.repositories[1] opens what ** of docker.io opens; leave each"}},
		"the same place, some":       {[]route.Route{leads("docker.io", "harbor/p", "library/*", "acme/*"), leads("b.io", "harbor/p", "team/**", "*/nginx")}, []string{"b.io.repositories[1] opens what library/* of docker.io opens; leave each"}},
		"the same place, other part": {[]route.Route{leads("docker.io", "harbor/p", "library/**"), leads("b.io", "harbor/p", "acme/**", "lib*")}, nil},
		"the same without prefix":    {[]route.Route{leads("a.io", "harbor", "team-a/**"), leads("b.io", "harbor", "team-*/app")}, []string{"b.io.repositories[0] opens what team-a/** of a.io opens; leave each"}},
		"another upstream":           {[]route.Route{hub, leads("mirror.example.com", "other/hub-proxy", "**")}, nil},
		"a place in another":         {[]route.Route{hub, leads("mirror.example.com", "harbor/hub-proxy/library", "**")}, nil},

		"official":            {[]route.Route{leads("docker.io", "harbor/hub-proxy", "library/**", "nginx", "nginx-*", "*")}, []string{"docker.io.repositories[1] opens nothing; write library/nginx", "docker.io.repositories[2] opens nothing; write library/nginx-*", "docker.io.repositories[3] opens nothing; write library/*"}},
		"official, no prefix": {[]route.Route{leads("docker.io", "harbor", "nginx")}, []string{"docker.io.repositories[0] opens nothing; write library/nginx"}},
		"a host on the Hub":   {[]route.Route{leads("docker.io", "harbor/hub-proxy", "gcr.io/**", "*.io/x", "**.io/x", "acme/a.b", "library/a.*")}, []string{"docker.io.repositories[0] opens nothing: on Docker Hub; give the registry", "docker.io.repositories[1] opens nothing: on Docker Hub; give the registry"}},
		"a project":           {[]route.Route{leads("harbor.example.com", "harbor", "team-a")}, []string{"harbor.example.com.repositories[0] opens nothing; write team-a/**"}},
		"projects":            {[]route.Route{leads("harbor.example.com", "harbor", "team-*")}, []string{"harbor.example.com.repositories[0] opens nothing; write team-*/**"}},

		"own name":             {[]route.Route{leads("quay.io", "harbor/quay-proxy", "coreos/**", "quay.io/coreos/**")}, []string{"quay.io.repositories[1] begins with the route's own name; write coreos/**"}},
		"own name, all":        {[]route.Route{leads("docker.io", "harbor/hub-proxy", "docker.io/**")}, []string{"docker.io.repositories[0] begins with the route's own name; write **"}},
		"own name, official":   {[]route.Route{leads("docker.io", "harbor/hub-proxy", "docker.io/nginx")}, []string{"docker.io.repositories[0] begins with the route's own name; write library/nginx"}},
		"own alias":            {[]route.Route{leads("docker.io", "harbor/hub-proxy", "index.docker.io/acme/*")}, []string{"docker.io.repositories[0] begins with the route's own name; write acme/*"}},
		"own port":             {[]route.Route{leads("a.io:5000", "harbor", "a.io:5000/x/**", "a.io_5000/x/**", "a.io/x/**")}, []string{"a.io:5000.repositories[0] begins with the route's own name; write x/**", "a.io:5000.repositories[1] begins with the route's own name; write x/**"}},
		"own name, also there": {[]route.Route{leads("quay.io", "harbor/quay.io", "quay.io/coreos/**")}, []string{"quay.io.repositories[0] begins with the route's own name; write coreos/**"}},
		"other name":           {[]route.Route{hub, leads("quay.io", "harbor/quay-proxy", "docker.io/*")}, []string{"quay.io.repositories[0] begins with docker.io; write library/* in repositories of docker.io"}},
		"a later one's name":   {[]route.Route{leads("a.io", "harbor/a", "quay.io/x/**"), quay}, []string{"a.io.repositories[0] begins with quay.io; write x/** in repositories of quay.io"}},
		"no route's name":      {[]route.Route{leads("harbor.example.com", "harbor", "docker.io/**", "harbor/**")}, nil},
		"a name that goes on":  {[]route.Route{quay, leads("harbor.example.com", "harbor", "quay.io-proxy/**", "quay.io*/**")}, nil},
		// Whoever writes that project first is led by the other route, to the same place.
		"a project called like its route": {[]route.Route{leads("quay.io", "harbor/quay.io", "**"), leads("harbor.example.com", "harbor", "quay.io/**")}, nil},
		"a project called like another's": {[]route.Route{quay, leads("harbor.example.com", "harbor", "quay.io/**")}, []string{"harbor.example.com.repositories[0] begins with quay.io; write ** in"}},

		"no name": {[]route.Route{leads("quay.io", "harbor/q", "A/*", "a//b", "/a", "a/", "a..b", "a_-*", "-*", "*-", "*.", "a:b", "", "a b", "quay.io/")},
			func() (all []string) {
				for i := range 13 {
					all = append(all, fmt.Sprintf("quay.io.repositories[%d] opens nothing: no repository can have such a name; write lower-case", i))
				}
				return all
			}()},
	} {
		t.Run(name, func(t *testing.T) {
			got := route.Conflicts(test.routes)
			if len(got) != len(test.want) {
				t.Errorf("%d conflicts, want %d: %v", len(got), len(test.want), got)
			}
			for i := range min(len(got), len(test.want)) {
				place, fix, _ := strings.Cut(test.want[i], "; ")
				if c := got[i]; !strings.HasPrefix(c.Route+"."+c.Key+" "+c.What, place) || !strings.HasPrefix(c.Fix, fix) {
					t.Errorf("%+v\nwant %s", c, test.want[i])
				}
			}
		})
	}
}

// FuzzConflicts: what is found to open nothing does so: no name is led by the route that
// the pattern stands for. And the fix is one.
func FuzzConflicts(f *testing.F) {
	for _, written := range []string{"**", "nginx", "library/*", "*/app", "quay.io/**", "team-*", "a_*", "A", "*-", "a**b", "***"} {
		for _, name := range []string{"nginx", "library/nginx", "quay.io/a/b", "team-a/app", "a_b", "a/x"} {
			f.Add(written, name)
		}
	}
	f.Fuzz(func(t *testing.T, written, name string) {
		if !registry.ValidName(name) {
			return
		}
		for i, to := range []string{"harbor/hub-proxy", "harbor/quay-proxy", "harbor"} {
			host := []string{"docker.io", "quay.io", "harbor.example.com"}[i]
			routes := []route.Route{leads(host, to, written)}
			found := route.Conflicts(routes)
			if len(found) == 0 || !strings.HasPrefix(found[0].What, "opens nothing") {
				continue
			}
			match, err := route.New(routes).Find(registry.Request{Kind: registry.KindTags, Name: name}, host)
			project := strings.Contains(match.Request.Name, "/")
			if err == nil && project {
				t.Errorf("%q of %s %s, and opens %s", written, host, found[0].What, match.Request.Name)
			}
			fix, ok := strings.CutPrefix(found[0].Fix, "write library/")
			if again := route.Conflicts([]route.Route{leads(host, to, "library/"+fix)}); ok && len(again) > 0 {
				t.Errorf("%q is mended as library/%s: %v", written, fix, again)
			}
		}
	})
}

// What is found is found in any order of the routes.
func TestConflictsInAnyOrder(t *testing.T) {
	routes := []route.Route{leads("docker.io", "harbor/p", "**"), leads("index.docker.io", "harbor/p", "nginx"), leads("quay.io", "harbor/q", "docker.io/x")}
	want := len(route.Conflicts(routes))
	slices.Reverse(routes)
	if got := len(route.Conflicts(routes)); got != want || got == 0 {
		t.Errorf("%d conflicts, and %d in the other order", want, got)
	}
}
