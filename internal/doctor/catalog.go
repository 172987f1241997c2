package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"breakwater/proxy/registry"
	"breakwater/proxy/upstream"
	"breakwater/tokencache"
)

const (
	catalogPage = "1000" // repositories asked for
	maxList     = 1 << 20
	maxProjects = 20 // that are printed and looked at when none was named
)

// A candidate is a repository to look at. One that was asked for must be
// pullable; one that was found in the catalog need not be.
type candidate struct {
	name  string
	asked bool
}

// catalog prints whether the account may list repositories, and returns those
// that it may see. At Harbor that is a right of its own, by Basic alone; pulls
// do not need it.
func (v *visit) catalog(ctx context.Context) []string {
	const without = "listing repositories through Breakwater will be answered 403; pulls do not need it"
	resp, err := v.read(ctx, registry.Request{Kind: registry.KindCatalog, Method: http.MethodGet, N: catalogPage})
	var nothing *tokencache.NoGrantError
	switch {
	case errors.As(err, &nothing):
		v.Note("catalog", "no right to list it: "+without)
		return nil
	case err != nil:
		seen, todo := v.explain(err)
		v.Fail("catalog", seen, todo)
		return nil
	}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		upstream.Drop(resp)
		v.Note("catalog", "no right to list it: "+without)
		return nil
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		upstream.Drop(resp)
		v.Note("catalog", "upstream has none: "+without)
		return nil
	default:
		v.Warn("catalog", refusalOf(resp).String(), "")
		return nil
	}
	var list struct{ Repositories []string }
	defer resp.Body.Close()
	if json.NewDecoder(io.LimitReader(resp.Body, maxList)).Decode(&list) != nil {
		v.Warn("catalog", "upstream's answer is not the list that the registry API knows", "")
		return nil
	}
	found := slices.DeleteFunc(list.Repositories, func(name string) bool { return !registry.ValidName(name) })
	v.OK("catalog", "may be listed: "+projects(found, resp.Header.Get("Link") != ""))
	return found
}

// projects sums a list up: "8 repositories: hub-proxy (1), team-a (7)".
func projects(names []string, more bool) string {
	if len(names) == 0 {
		return "no repositories"
	}
	count := map[string]int{}
	var order []string
	for _, name := range names {
		project := registry.Project(name)
		if count[project]++; count[project] == 1 {
			order = append(order, project)
		}
	}
	shown := order[:min(len(order), maxProjects)]
	parts := make([]string, len(shown))
	for i, project := range shown {
		parts[i] = fmt.Sprintf("%s (%d)", project, count[project])
	}
	if len(order) > len(shown) {
		parts = append(parts, "…")
	}
	total := fmt.Sprintf("%d repositories", len(names))
	if len(names) == 1 {
		total = "1 repository"
	}
	if more {
		total = "the first " + total
	}
	return total + ", by project: " + strings.Join(parts, ", ")
}

// named are the repositories that were asked for.
func named(repositories []string) []candidate {
	var chosen []candidate
	for _, name := range repositories {
		chosen = append(chosen, candidate{name, true})
	}
	return chosen
}

// oneOfEach chooses the first repository of each project.
func oneOfEach(found []string) []candidate {
	var chosen []candidate
	seen := map[string]bool{}
	for _, name := range found {
		if project := registry.Project(name); !seen[project] && len(chosen) < maxProjects {
			seen[project] = true
			chosen = append(chosen, candidate{name, false})
		}
	}
	return chosen
}
