package access

import (
	"testing"

	"breakwater/internal/pattern"
)

func TestPolicy(t *testing.T) {
	alice := Client{Subject: "alice", Names: []string{"alice.example.com"}, Groups: []string{"builders", "team-a"}}
	for name, test := range map[string]struct {
		policy Policy
		client Client
		want   bool
	}{
		"no policy":                    {nil, alice, false},
		"no rule":                      {Policy{}, alice, false},
		"a rule of nothing":            {Policy{{}}, alice, false},
		"anyone, nothing to pull":      {Policy{{Anyone: true}}, alice, false},
		"anyone":                       {Policy{{Anyone: true, Pull: pattern.All("team-a/**")}}, alice, true},
		"anyone, nobody in particular": {Policy{{Anyone: true, Pull: pattern.All("team-a/**")}}, Client{}, true},
		"anyone, other repositories":   {Policy{{Anyone: true, Pull: pattern.All("team-b/**")}}, alice, false},
		"nobody named":                 {Policy{{Pull: pattern.All("**")}}, alice, false},
		"subject":                      {Policy{{Subjects: pattern.All("alice"), Pull: pattern.All("team-a/app")}}, alice, true},
		"one subject of several":       {Policy{{Subjects: pattern.All("bob", "al*"), Pull: pattern.All("x/**", "team-a/*")}}, alice, true},
		"another subject":              {Policy{{Subjects: pattern.All("bob"), Pull: pattern.All("**")}}, alice, false},
		"another name":                 {Policy{{Subjects: pattern.All("*.example.com"), Pull: pattern.All("**")}}, alice, true},
		"group":                        {Policy{{Groups: pattern.All("team-*"), Pull: pattern.All("**")}}, alice, true},
		"another group":                {Policy{{Groups: pattern.All("admins"), Pull: pattern.All("**")}}, alice, false},
		"a subject is no group":        {Policy{{Groups: pattern.All("alice"), Pull: pattern.All("**")}}, alice, false},
		"a group is no subject":        {Policy{{Subjects: pattern.All("builders"), Pull: pattern.All("**")}}, alice, false},
		"all subjects are somebody":    {Policy{{Subjects: pattern.All("**"), Groups: pattern.All("**"), Pull: pattern.All("**")}}, Client{}, false},
		"all subjects":                 {Policy{{Subjects: pattern.All("**"), Pull: pattern.All("**")}}, Client{Subject: "system:node:1"}, true},
		"one rule of several": {Policy{
			{Subjects: pattern.All("bob"), Pull: pattern.All("**")}, {Subjects: pattern.All("alice"), Pull: pattern.All("team-a/*")},
		}, alice, true},
		"rules are not mixed": {Policy{
			{Subjects: pattern.All("bob"), Pull: pattern.All("team-a/**")}, {Subjects: pattern.All("alice"), Pull: pattern.All("team-b/**")},
		}, alice, false},
		"everything": {Everything(), Client{}, true},
	} {
		if got := test.policy.Allows(test.client, called("team-a/app")); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
