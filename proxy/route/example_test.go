package route_test

import (
	"fmt"
	"net/http"
	"net/url"

	"breakwater/internal/pattern"
	"breakwater/proxy/registry"
	"breakwater/proxy/route"
)

var mirrors = []route.Route{
	{Name: "docker.io", Upstream: "harbor", Prefix: "hub-proxy", Repositories: pattern.All("**")},
	{Name: "quay.io", Upstream: "harbor", Prefix: "quay-proxy", Repositories: pattern.All("coreos/**")},
	{Name: "harbor.example.com", Upstream: "harbor", Repositories: pattern.All("**")},
}

func ExampleTable_Find() {
	table := route.New(mirrors)
	for _, target := range []string{
		"/v2/nginx/tags/list",
		"/v2/library/nginx/tags/list?ns=docker.io",
		"/docker.io/v2/library/nginx/tags/list",
		"/v2/hub-proxy/library/nginx/tags/list?ns=harbor.example.com",
		"/v2/quay.io/coreos/etcd/tags/list",
		"/v2/quay.io/acme/app/tags/list",
	} {
		u, _ := url.Parse(target)
		request, _ := registry.Parse(http.MethodGet, u)
		match, err := table.Find(request, "docker.io")
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(match.Route.Name, "→", match.Route.Upstream, match.Request.URL())
	}
	// Output:
	// docker.io → harbor /v2/hub-proxy/library/nginx/tags/list
	// docker.io → harbor /v2/hub-proxy/library/nginx/tags/list
	// docker.io → harbor /v2/hub-proxy/library/nginx/tags/list
	// harbor.example.com → harbor /v2/hub-proxy/library/nginx/tags/list
	// quay.io → harbor /v2/quay-proxy/coreos/etcd/tags/list
	// NAME_UNKNOWN: acme/app is not opened here: whoever runs this registry can add it to the repositories of the route quay.io
}

func ExampleTable_Names() {
	table := route.New(mirrors)
	for _, name := range table.Names("harbor", "hub-proxy/library/nginx") {
		fmt.Println(name)
	}
	// Output:
	// docker.io/library/nginx
	// harbor.example.com/hub-proxy/library/nginx
}

func ExampleConflicts() {
	for _, c := range route.Conflicts([]route.Route{
		{Name: "docker.io", Upstream: "harbor", Prefix: "hub-proxy", Repositories: pattern.All("nginx")},
		{Name: "index.docker.io", Upstream: "harbor", Prefix: "mirror", Repositories: pattern.All("**")},
	}) {
		fmt.Printf("routes.%s %s: %s; %s\n", c.Route, c.Key, c.What, c.Fix)
	}
	// Output:
	// routes.docker.io repositories[0]: opens nothing: every name on Docker Hub has a /, those of official images too; write library/nginx
	// routes.index.docker.io : is another name of docker.io; write docker.io, whose other names lead there as well
}
