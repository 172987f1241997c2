package pattern_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"breakwater/internal/pattern"
)

func TestOverlaps(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"", "", true},
		{"", "a", false},
		{"", "**", true},
		{"", "*", true},
		{"a", "a", true},
		{"a", "ab", false},
		{"team-a/**", "team-b/**", false},
		{"team-a/**", "team-*/app", true},
		{"team-a/**", "team-a/app", true},
		{"team-a/*", "team-a/x/app", false},
		{"team-a/*", "team-a/x/**", false},
		{"team-a/**", "team-a", false},
		{"team-*/**", "**/app", true},
		{"*", "**", true},
		{"*", "a/b", false},
		{"*:*", "a/**", false},
		{"*/*", "a:b/c", false},
		{"**", "a:b/c", true},
		{"a*c", "*b*", true},
		{"a*", "*b", true},
		{"a*a", "a", false},
		{"*a", "a*", true},
		{"a**b", "a*", true},
		{"a**/b", "a*", false},
		{"***", "a/b", true},
		{"library/*", "*/nginx", true},
		{"docker.io/**", "quay.io/**", false},
		{"ä*", "*ö", true},
		{"ä", "ö", false},
		{"*\xa4", "ä", false},
	} {
		a, b := pattern.New(test.a), pattern.New(test.b)
		if got := a.Overlaps(b); got != test.want {
			t.Errorf("%q overlaps %q: %v", test.a, test.b, got)
		}
		if got := b.Overlaps(a); got != test.want {
			t.Errorf("%q overlaps %q: %v", test.b, test.a, got)
		}
	}
	if !(pattern.Pattern{}).Overlaps(pattern.New("**")) || (pattern.Pattern{}).Overlaps(pattern.New("a")) {
		t.Error("the zero Pattern overlaps with what the empty text matches, and nothing else")
	}
}

// share looks for a text that both stand for, letter by letter and without memory.
func share(a, b string) bool {
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		for _, wild := range []struct{ word, not string }{{"**", ""}, {"*", "/:"}} {
			rest, ok := strings.CutPrefix(pair[0], wild.word)
			if !ok {
				continue
			}
			if share(rest, pair[1]) {
				return true
			}
			other := pair[1]
			if other == "" || other[0] == '*' || strings.IndexByte(wild.not, other[0]) >= 0 {
				break
			}
			if share(pair[0], other[1:]) {
				return true
			}
			break
		}
	}
	if a == "" || b == "" {
		return a == b
	}
	return a[0] == b[0] && a[0] != '*' && share(a[1:], b[1:])
}

// stoodFor makes a text that the pattern stands for: with words from the other pattern
// in place of wildcards, so that both may well stand for it.
func stoodFor(random *rand.Rand, wanted, other string) string {
	words := strings.FieldsFunc(other, func(c rune) bool { return c == '*' })
	word := func(not string) string {
		var made strings.Builder
		for range random.IntN(3) {
			if len(words) > 0 {
				made.WriteString(words[random.IntN(len(words))])
			}
		}
		text := made.String()
		from := random.IntN(len(text) + 1)
		text = strings.ToValidUTF8(text[from:from+random.IntN(len(text)-from+1)], "")
		if i := strings.IndexAny(text, not); not != "" && i >= 0 {
			text = text[:i]
		}
		return text
	}
	var made strings.Builder
	for wanted != "" {
		switch {
		case strings.HasPrefix(wanted, "**"):
			made.WriteString(word(""))
			wanted = wanted[2:]
		case wanted[0] == '*':
			made.WriteString(word("/:"))
			wanted = wanted[1:]
		default:
			made.WriteByte(wanted[0])
			wanted = wanted[1:]
		}
	}
	return made.String()
}

// FuzzOverlaps: patterns overlap if and only if there is a text that both stand for.
func FuzzOverlaps(f *testing.F) {
	written := []string{"**", "*", "", "team-a/**", "team-*/app", "**/app", "a**b*c", "*:*", "a/b:c", "*/*", "ä*", "*ö"}
	for i, a := range written {
		for _, b := range written[i:] {
			f.Add(a, b, uint64(i))
		}
	}
	f.Fuzz(func(t *testing.T, a, b string, seed uint64) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) || len(a) > 16 || len(b) > 16 || strings.Count(a+b, "*") > 8 {
			return
		}
		p, q := pattern.New(a), pattern.New(b)
		got := p.Overlaps(q)
		if got != q.Overlaps(p) {
			t.Fatalf("%q and %q overlap one way only", a, b)
		}
		if want := share(a, b); got != want {
			t.Errorf("%q overlaps %q: %v, want %v", a, b, got, want)
		}
		random := rand.New(rand.NewPCG(seed, 0))
		for range 20 {
			text := stoodFor(random, a, b)
			if !p.Matches(text) {
				t.Fatalf("%q does not stand for %q, which was made from it", a, text)
			}
			if q.Matches(text) && !got {
				t.Errorf("%q and %q both stand for %q, and do not overlap", a, b, text)
			}
		}
	})
}

// Long patterns with many wildcards are compared in bounded time.
func TestOverlapsOfManyWildcards(t *testing.T) {
	a, b := pattern.New(strings.Repeat("*a", 256)), pattern.New(strings.Repeat("a*", 255)+"b")
	if a.Overlaps(b) {
		t.Error("one ends with a, the other with b")
	}
}

func ExamplePattern_Overlaps() {
	official := pattern.New("library/**")
	for _, text := range []string{"acme/**", "*/nginx", "library/nginx"} {
		fmt.Println(text, official.Overlaps(pattern.New(text)))
	}
	// Output:
	// acme/** false
	// */nginx true
	// library/nginx true
}
