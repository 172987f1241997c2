package access

import (
	"slices"
	"testing"

	"breakwater/internal/pattern"
)

// Rules are found by any name of the repository, whoever they mean.
func TestOpening(t *testing.T) {
	policy := Policy{
		{Anyone: true, Pull: pattern.All("docker.io/library/**")},
		{Subjects: pattern.All("alice"), Pull: pattern.All("harbor.example.com/**")},
		{Groups: pattern.All("ci"), Pull: pattern.All("harbor.example.com/hub-proxy/library/nginx", "quay.io/**")},
	}
	for name, tt := range map[string]struct {
		names []string
		want  []int
	}{
		"two names": {[]string{"docker.io/library/nginx", "harbor.example.com/hub-proxy/library/nginx"}, []int{0, 1, 2}},
		"one":       {[]string{"quay.io/x/y"}, []int{2}},
		"no rule":   {[]string{"ghcr.io/x/y"}, nil},
		"no name":   {nil, nil},
	} {
		if got := policy.Opening(Repository{Names: tt.names}); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
	if got := Everything().Opening(Repository{Names: []string{"docker.io/x"}}); !slices.Equal(got, []int{0}) {
		t.Errorf("of everything: %v", got)
	}
}
