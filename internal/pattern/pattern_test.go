package pattern_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"breakwater/internal/pattern"
)

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
		p := pattern.New(test.pattern)
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

func TestMatch(t *testing.T) {
	patterns := pattern.All("library/**", "acme/app")
	for text, want := range map[string]bool{"library/nginx": true, "acme/app": true, "acme/tool": false, "": false} {
		if pattern.Match(patterns, text) != want {
			t.Errorf("%q matches: %v", text, !want)
		}
	}
	if pattern.Match(nil, "") || (pattern.Pattern{}).Matches("a") || !(pattern.Pattern{}).Matches("") {
		t.Error("no pattern matches nothing, and the zero Pattern the empty text")
	}
	for written, want := range map[string]bool{"**": true, "*": false, "**/**": false, "": false} {
		if p := pattern.New(written); p.Everything() != want || p.String() != written {
			t.Errorf("%s is everything: %v", p, !want)
		}
	}
}

// slowly matches letter by letter, without a prefix or an expression.
func slowly(wanted, text string) bool {
	for _, wild := range []struct{ word, not string }{{"**", ""}, {"*", "/:"}} {
		rest, ok := strings.CutPrefix(wanted, wild.word)
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
	if wanted == "" || text == "" {
		return wanted == text
	}
	return wanted[0] == text[0] && slowly(wanted[1:], text[1:])
}

// FuzzPattern: a pattern means what is said of it, by whatever short way it is
// matched.
func FuzzPattern(f *testing.F) {
	for _, written := range []string{"**", "*", "", "team-a/**", "team-*/app", "***", "a**b*c", "*:*", "a.b", "(", "ä*ö", "\n*"} {
		for _, text := range []string{"", "team-a/app", "team-a/x/app", "a:b", "abc", "axb\nc", "äbö", "\n"} {
			f.Add(written, text)
		}
	}
	f.Fuzz(func(t *testing.T, wanted, text string) {
		if !utf8.ValidString(wanted) || !utf8.ValidString(text) || len(text) > 40 || strings.Count(wanted, "*") > 6 {
			return
		}
		if got, want := pattern.New(wanted).Matches(text), slowly(wanted, text); got != want {
			t.Errorf("%q stands for %q: %v, want %v", wanted, text, got, want)
		}
	})
}

func ExamplePattern_Matches() {
	for _, text := range []string{"team-a/**", "team-*/app", "*"} {
		p := pattern.New(text)
		for _, repository := range []string{"team-a/app", "team-a/tools/app"} {
			fmt.Println(text, repository, p.Matches(repository))
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
