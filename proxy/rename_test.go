package proxy

import "testing"

func TestRename(t *testing.T) {
	for _, test := range []struct{ sentence, name, by, want string }{
		{"artifact hub-proxy/library/nginx:1.0 not found", "hub-proxy/library/nginx", "library/nginx", "artifact library/nginx:1.0 not found"},
		{"team-a/app is unknown, team-a/app@sha256:0 too", "team-a/app", "h.example.com/team-a/app", "h.example.com/team-a/app is unknown, h.example.com/team-a/app@sha256:0 too"},
		{"of team-a/apps and x-team-a/app nothing", "team-a/app", "app", "of team-a/apps and x-team-a/app nothing"},
		{"upstream harbor is not available", "a", "h.example.com/a", "upstream harbor is not available"},
		{"project hub-proxy not found: project hub-proxy not found", "project hub-proxy", "the project behind docker.io", "the project behind docker.io not found: the project behind docker.io not found"},
		{"project hub-proxy-2 not found", "project hub-proxy", "x", "project hub-proxy-2 not found"},
		{"a/ba/b and a/b", "a/b", "c", "a/ba/b and c"},
		{"", "a/b", "c", ""},
	} {
		if got := rename(test.sentence, test.name, test.by); got != test.want {
			t.Errorf("%q: %q, want %q", test.sentence, got, test.want)
		}
	}
}
