package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"breakwater/internal/doctor"
	"breakwater/proxy/registry"
	"breakwater/proxy/route"
	"breakwater/tokencache"
)

// reportRoutes says whose names lead where, and asks each token service whether our
// account may pull there: a project that is not there, which nobody would notice but by
// its clients' 404s, looks the same as one without a right.
func reportRoutes(ctx context.Context, report *doctor.Report, routes *route.Table, upstreams []asked) {
	report.Section("routes")
	silent := make(map[string]bool)
	for _, r := range routes.Routes() {
		opened := make([]string, len(r.Repositories))
		for i, p := range r.Repositories {
			opened[i] = p.String()
		}
		kind := ""
		if r.ProxyCache {
			kind = ", a proxy cache"
		}
		report.OK(r.Name, fmt.Sprintf("leads to %s%s; opens %s", path.Join(r.Upstream, r.Prefix), kind, strings.Join(opened, ", ")))
		to := upstreams[slices.IndexFunc(upstreams, func(a asked) bool { return a.Name == r.Upstream })]
		for _, project := range projectsOf(r) {
			if !silent[to.Name] && !reportProject(ctx, report, r, to, project) {
				silent[to.Name] = true
			}
		}
	}
}

// projectsOf are the projects of Harbor that a route is sure to lead to.
func projectsOf(r route.Route) []string {
	if r.Prefix != "" {
		return []string{registry.Project(r.Prefix)}
	}
	var projects []string
	for _, p := range r.Repositories {
		if project := registry.Project(p.String()); !strings.Contains(project, "*") && !slices.Contains(projects, project) {
			projects = append(projects, project)
		}
	}
	return projects
}

// reportProject tells false where the upstream says nothing of rights.
func reportProject(ctx context.Context, report *doctor.Report, r route.Route, to asked, project string) bool {
	scope := tokencache.Scope{Type: "repository", Name: project + "/breakwater-check", Actions: []string{"pull"}}
	ctx, cancel := context.WithTimeout(ctx, doctor.StepLimit)
	defer cancel()
	grant, err := to.client.Grant(ctx, scope)
	_, no := errors.AsType[*tokencache.NoGrantError](err)
	switch {
	case err == nil && grant.Allows(scope):
		report.OK(r.Name, "project "+project+" may be pulled from")
	case err == nil && grant.Opaque:
		report.Note(r.Name, fmt.Sprintf("upstream %s does not say what may be pulled: try it with --repository %s/…", to.Name, r.Path()))
		return false
	case err != nil && !no:
		report.Note(r.Name, fmt.Sprintf("whether project %s is there and may be pulled from could not be asked: see upstream %s below", project, to.Name))
		return false
	case to.Username == "": // what is no Harbor may say so of a repository that is not there
		report.Note(r.Name, fmt.Sprintf("whether project %s is there was not told, for no account is configured: try it with --repository %s/…", project, r.Path()))
	default:
		report.Fail(r.Name, fmt.Sprintf("%s has no pull on project %s, or there is no such project; %s leads there", to.Username, project, r.Name),
			fmt.Sprintf("look at the name in routes, and give the account the right to pull from %s in Harbor; until then all of it is 404 here", project))
	}
	return true
}
