package access

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func patternsOf(texts ...string) []Pattern {
	var made []Pattern
	for _, text := range texts {
		made = append(made, NewPattern(text))
	}
	return made
}

func TestPatterns(t *testing.T) {
	for _, test := range []struct {
		pattern  string
		yes, not []string
	}{
		{"team-a/app", []string{"team-a/app"}, []string{"", "team-a", "team-a/app/x", "team-a/apps", "x/team-a/app", "Team-a/app", "team-a/app\n"}},
		{"team-a/*", []string{"team-a/app", "team-a/", "team-a/a.b"}, []string{"team-a", "team-a/x/app", "team-b/app", "team-a/a:b"}},
		{"team-a/**", []string{"team-a/app", "team-a/x/app", "team-a/", "team-a/a:b", "team-a/\n"}, []string{"team-a", "team-ab/app", "x/team-a/app"}},
		{"team-*/app", []string{"team-a/app", "team-/app", "team-a.b/app"}, []string{"team-a/x/app", "team-a/apps", "xteam-a/app"}},
		{"**/app", []string{"team-a/app", "/app", "team-a/x/app", "a\nb/app"}, []string{"app", "team-a/apps", "team-a/app/"}},
		{"team-a/**/app", []string{"team-a/x/app", "team-a/x/y/app", "team-a//app"}, []string{"team-a/app"}},
		{"**", []string{"", "a", "team-a/x/app", "system:serviceaccount:ci:builder", "a\nb"}, nil},
		{"*", []string{"", "alice"}, []string{"team-a/app", "system:nodes"}},
		{"system:serviceaccount:ci-*:*", []string{"system:serviceaccount:ci-a:builder", "system:serviceaccount:ci-:"},
			[]string{"system:serviceaccount:ci-a", "system:serviceaccount:prod:builder", "system:serviceaccount:ci-a:b:c", "system:serviceaccount:ci-a/b:c"}},
		{"***", []string{"", "a/b:c"}, nil},
		{"a*b**c", []string{"abc", "axbc", "abx/y:zc"}, []string{"ax/bc", "ab", "bc"}},
		{"robot$ci+*", []string{"robot$ci+a"}, []string{"robot$ci", "robotci+a", "robot$cii"}},
		{"a.b", []string{"a.b"}, []string{"axb"}},
		{"[ab]?(c|d)\\", []string{"[ab]?(c|d)\\"}, []string{"ac", "a"}},
		{"", []string{""}, []string{"a"}},
	} {
		p := NewPattern(test.pattern)
		for _, text := range test.yes {
			if !p.Matches(text) {
				t.Errorf("%q does not stand for %q", test.pattern, text)
			}
		}
		for _, text := range test.not {
			if p.Matches(text) {
				t.Errorf("%q stands for %q", test.pattern, text)
			}
		}
	}
}

// slowly matches letter by letter, without a prefix or an expression.
func slowly(pattern, text string) bool {
	for _, wild := range []struct{ word, not string }{{"**", ""}, {"*", "/:"}} {
		rest, ok := strings.CutPrefix(pattern, wild.word)
		if !ok {
			continue
		}
		for i := 0; i <= len(text); i++ {
			if slowly(rest, text[i:]) {
				return true
			}
			if i < len(text) && strings.IndexByte(wild.not, text[i]) >= 0 {
				return false
			}
		}
		return false
	}
	if pattern == "" || text == "" {
		return pattern == text
	}
	return pattern[0] == text[0] && slowly(pattern[1:], text[1:])
}

// FuzzPattern: a pattern means what is said of it, by whatever short way it is
// matched.
func FuzzPattern(f *testing.F) {
	for _, pattern := range []string{"**", "*", "", "team-a/**", "team-*/app", "***", "a**b*c", "*:*", "a.b", "(", "ä*ö", "\n*"} {
		for _, text := range []string{"", "team-a/app", "team-a/x/app", "a:b", "abc", "axb\nc", "äbö", "\n"} {
			f.Add(pattern, text)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if !utf8.ValidString(pattern) || !utf8.ValidString(text) || len(text) > 40 || strings.Count(pattern, "*") > 6 {
			return
		}
		if got, want := NewPattern(pattern).Matches(text), slowly(pattern, text); got != want {
			t.Errorf("%q stands for %q: %v, want %v", pattern, text, got, want)
		}
	})
}

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
		"anyone":                       {Policy{{Anyone: true, Pull: patternsOf("team-a/**")}}, alice, true},
		"anyone, nobody in particular": {Policy{{Anyone: true, Pull: patternsOf("team-a/**")}}, Client{}, true},
		"anyone, other repositories":   {Policy{{Anyone: true, Pull: patternsOf("team-b/**")}}, alice, false},
		"nobody named":                 {Policy{{Pull: patternsOf("**")}}, alice, false},
		"subject":                      {Policy{{Subjects: patternsOf("alice"), Pull: patternsOf("team-a/app")}}, alice, true},
		"one subject of several":       {Policy{{Subjects: patternsOf("bob", "al*"), Pull: patternsOf("x/**", "team-a/*")}}, alice, true},
		"another subject":              {Policy{{Subjects: patternsOf("bob"), Pull: patternsOf("**")}}, alice, false},
		"another name":                 {Policy{{Subjects: patternsOf("*.example.com"), Pull: patternsOf("**")}}, alice, true},
		"group":                        {Policy{{Groups: patternsOf("team-*"), Pull: patternsOf("**")}}, alice, true},
		"another group":                {Policy{{Groups: patternsOf("admins"), Pull: patternsOf("**")}}, alice, false},
		"a subject is no group":        {Policy{{Groups: patternsOf("alice"), Pull: patternsOf("**")}}, alice, false},
		"a group is no subject":        {Policy{{Subjects: patternsOf("builders"), Pull: patternsOf("**")}}, alice, false},
		"all subjects are somebody":    {Policy{{Subjects: patternsOf("**"), Groups: patternsOf("**"), Pull: patternsOf("**")}}, Client{}, false},
		"all subjects":                 {Policy{{Subjects: patternsOf("**"), Pull: patternsOf("**")}}, Client{Subject: "system:node:1"}, true},
		"one rule of several": {Policy{
			{Subjects: patternsOf("bob"), Pull: patternsOf("**")}, {Subjects: patternsOf("alice"), Pull: patternsOf("team-a/*")},
		}, alice, true},
		"rules are not mixed": {Policy{
			{Subjects: patternsOf("bob"), Pull: patternsOf("team-a/**")}, {Subjects: patternsOf("alice"), Pull: patternsOf("team-b/**")},
		}, alice, false},
		"everything": {Everything(), Client{}, true},
	} {
		if got := test.policy.Allows(test.client, "team-a/app"); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// Where allowsAll says yes, there is nothing that Allows says no to.
func TestAllowsAll(t *testing.T) {
	alice := Client{Subject: "alice"}
	for name, test := range map[string]struct {
		policy Policy
		want   bool
	}{
		"everything":    {Everything(), true},
		"alice, all":    {Policy{{Subjects: patternsOf("alice"), Pull: patternsOf("team-a/**", "**")}}, true},
		"bob, all":      {Policy{{Subjects: patternsOf("bob"), Pull: patternsOf("**")}}, false},
		"alice, a part": {Policy{{Subjects: patternsOf("alice"), Pull: patternsOf("*/**")}}, false},
		"no rule":       {nil, false},
	} {
		if got := test.policy.allowsAll(alice); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
		for _, repository := range []string{"a", "team-a/app", "a/b/c"} {
			if test.want && !test.policy.Allows(alice, repository) {
				t.Errorf("%s: %s is not allowed", name, repository)
			}
		}
	}
}

func ExamplePattern_Matches() {
	for _, text := range []string{"team-a/**", "team-*/app", "*"} {
		pattern := NewPattern(text)
		for _, repository := range []string{"team-a/app", "team-a/tools/app"} {
			fmt.Println(text, repository, pattern.Matches(repository))
		}
	}
	// Output:
	// team-a/** team-a/app true
	// team-a/** team-a/tools/app true
	// team-*/app team-a/app true
	// team-*/app team-a/tools/app false
	// * team-a/app false
	// * team-a/tools/app false
}
