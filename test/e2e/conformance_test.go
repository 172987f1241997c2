//go:build e2e

package e2e

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// reads are the conformance tests that a pull is made of, and how often each is
// to pass at the least: it must have been tried, not left out.
var reads = map[string]int{
	"ping":                                   1,
	"empty/tag list":                         1,
	"empty/referrers":                        1,
	"read-only/tag-list":                     1,
	"read-only/head/manifest-head-by-tag":    3,
	"read-only/head/manifest-head-by-digest": 6,
	"read-only/head/blob-head":               4,
	"read-only/pull/manifest-by-tag":         3,
	"read-only/pull/manifest-by-digest":      6,
	"read-only/pull/blob-get":                4,
	"read-only/referrers":                    1,
	"missing-manifest/by-digest":             1,
	"missing-manifest/by-tag":                1,
	"invalid-digest-format/manifest-get":     1,
}

// The OCI distribution-spec's own conformance test reads the same content from
// Harbor, with the robot's password, and through Breakwater, without. What
// passes there must pass here, test by test.
func TestConformance(t *testing.T) {
	w := newWorld(t)
	direct := conformance(t, w.harbor, strings.TrimPrefix(w.harbor.url, "http://"),
		"OCI_USERNAME="+robotName, "OCI_PASSWORD="+robotPassword)
	through := conformance(t, w.harbor, w.registry)

	names := slices.Concat(slices.Collect(maps.Keys(direct)), slices.Collect(maps.Keys(through)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !slices.Equal(through[name], direct[name]) {
			t.Errorf("%s: %v through Breakwater, %v at Harbor", name, through[name], direct[name])
		}
	}
	for name, least := range reads {
		passed := len(slices.DeleteFunc(slices.Clone(through[name]), func(result string) bool { return result != "Pass" }))
		if passed < least {
			t.Errorf("%s passed %d times through Breakwater, want %d", name, passed, least)
		}
	}
}

// printedResult is a line of the tree of results that the conformance test
// prints.
var printedResult = regexp.MustCompile(`(?m)^ *OCI Conformance Test/(.+): (Pass|Skip|Disabled|FAIL|Error|Unknown)$`)

// conformance runs the pull part against a registry and returns the results by
// the tests' names, some of which occur more than once. Our test fails when the
// whole of it did not pass.
//
// The printed report is what counts: after it, where pushes are left out as
// here, this version crashes over the reports that it writes to files, so that
// neither those nor its exit status tell anything.
func conformance(t *testing.T, h *harbor, registry string, credentials ...string) map[string][]string {
	t.Helper()
	manifests := []v1.Hash{
		digestOf(t, h.app), h.artifact, h.sbom,
		digestOf(t, h.multi), digestOf(t, child(t, h.multi, "amd64")), digestOf(t, child(t, h.multi, "arm64")),
	}
	cmd := newHome(t).command(tool(t, "conformance"))
	cmd.Env = append(cmd.Env, append(credentials,
		"OCI_REGISTRY="+registry, "OCI_TLS=disabled", "OCI_REPO1="+conformanceRepository,
		"OCI_API_PUSH=false", "OCI_API_BLOBS_DELETE=false", "OCI_API_MANIFESTS_DELETE=false", "OCI_API_TAGS_DELETE=false",
		"OCI_RO_DATA_TAGS=app multi artifact",
		"OCI_RO_DATA_MANIFESTS="+join(manifests),
		"OCI_RO_DATA_BLOBS="+join(append(layersOf(t, h.app), configOf(t, h.app))),
		"OCI_RO_DATA_REFERRERS="+h.artifact.String(),
	)...)
	printed, ended := cmd.CombinedOutput()
	report, _, _ := strings.Cut(string(printed), "panic: ")
	if !strings.Contains(report, "OCI Conformance Result: Pass\n") {
		t.Errorf("the conformance test at %s did not pass (%v):\n%s", registry, ended, report)
	}
	results := make(map[string][]string)
	for _, match := range printedResult.FindAllStringSubmatch(report, -1) {
		results[match[1]] = append(results[match[1]], match[2])
	}
	for _, statuses := range results {
		slices.Sort(statuses) // tags and blobs are tried in no order
	}
	return results
}

// join writes digests as the conformance test reads a list of them.
func join(hashes []v1.Hash) string {
	digests := make([]string, len(hashes))
	for i, hash := range hashes {
		digests[i] = hash.String()
	}
	return strings.Join(digests, " ")
}
