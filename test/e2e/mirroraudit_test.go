//go:build e2e

package e2e

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"breakwater/internal/harbortest"
)

// asked is what Breakwater may ask Harbor for content: manifests, blobs and lists of a
// repository, by the name that it has there.
var asked = regexp.MustCompile(`^(?:(?:GET|HEAD) /v2/(.+)/(?:manifests/[^/]+|blobs/sha256:[0-9a-f]{64})|GET /v2/(.+)/(?:tags/list|referrers/sha256:[0-9a-f]{64}))$`)

// about are the questions beside those: whether and how to log in, what there is, and
// whether Harbor is well.
var about = []string{"GET /v2/", "GET /v2/_catalog", "GET /service/token", "GET /api/v2.0/health"}

// scoped is what a token is asked for.
var scoped = regexp.MustCompile(`^(?:registry:catalog:\*|repository:(.+):pull)$`)

// checkAsked makes sure that Harbor was asked nothing else, and for nothing but
// repositories of these projects: clients' names do not get there.
func checkAsked(t *testing.T, requests []harbortest.Request, projects ...string) {
	t.Helper()
	in := func(repository string) bool {
		project, name, _ := strings.Cut(repository, "/")
		first, _, _ := strings.Cut(name, "/")
		return slices.Contains(projects, project) && name != "" && !strings.Contains(first, ".")
	}
	if len(requests) == 0 {
		t.Error("Harbor was asked nothing")
	}
	for _, r := range requests {
		query, err := url.ParseQuery(r.Query)
		if err != nil {
			t.Errorf("%s %s?%s: %v", r.Method, r.Path, r.Query, err)
		}
		found := asked.FindStringSubmatch(r.Method + " " + r.Path)
		switch {
		case found != nil && in(found[1]+found[2]):
		case found == nil && slices.Contains(about, r.Method+" "+r.Path):
		default:
			t.Errorf("Harbor was asked %s %s", r.Method, r.Path)
		}
		for key, values := range query {
			switch {
			case r.IsToken() && key == "scope":
				for _, scope := range strings.Fields(strings.Join(values, " ")) {
					if found := scoped.FindStringSubmatch(scope); found == nil || found[1] != "" && !in(found[1]) {
						t.Errorf("a token was asked for %s", scope)
					}
				}
			case r.IsToken() && (key == "service" || key == "account"):
			case strings.HasSuffix(r.Path, "/tags/list") || strings.HasSuffix(r.Path, "/_catalog"):
			case strings.Contains(r.Path, "/referrers/") && key == "artifactType":
			default:
				t.Errorf("Harbor was asked %s %s with %s=%s", r.Method, r.Path, key, values)
			}
		}
		for _, name := range []string{"Cookie", "Traceparent", "Baggage", "Forwarded", "X-Forwarded-For"} {
			if r.Header.Get(name) != "" {
				t.Errorf("Harbor was sent %s with %s %s", name, r.Method, r.Path)
			}
		}
	}
}
