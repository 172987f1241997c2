// Package pattern is the one language in which an operator writes which names are
// meant: of repositories, subjects and groups. In it * is any text without / and :, **
// is any text; the rest stands for itself.
package pattern

import (
	"regexp"
	"slices"
	"strings"
)

// Pattern stands for names. The zero Pattern stands for the empty one only.
type Pattern struct {
	text   string
	prefix string         // what a match begins with
	rest   *regexp.Regexp // of the whole text; nil where anything may follow the prefix
}

// New reads a pattern; every text is one, though one that is not UTF-8 matches nothing
// of the kind.
func New(text string) Pattern {
	text = strings.ToValidUTF8(text, "\ufffd")
	prefix, _, _ := strings.Cut(text, "*")
	if text == prefix+"**" {
		return Pattern{text: text, prefix: prefix}
	}
	var expression strings.Builder
	for i, part := range strings.Split(text, "**") {
		if i > 0 {
			expression.WriteString(`.*`)
		}
		for j, literal := range strings.Split(part, "*") {
			if j > 0 {
				expression.WriteString(`[^/:]*`)
			}
			expression.WriteString(regexp.QuoteMeta(literal))
		}
	}
	return Pattern{text, prefix, regexp.MustCompile(`^(?s:` + expression.String() + `)$`)}
}

// All reads several patterns.
func All(texts ...string) []Pattern {
	made := make([]Pattern, len(texts))
	for i, text := range texts {
		made[i] = New(text)
	}
	return made
}

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Matches tells whether the pattern stands for the text.
func (p Pattern) Matches(text string) bool {
	if p.text == "" {
		return text == ""
	}
	return strings.HasPrefix(text, p.prefix) && (p.rest == nil || p.rest.MatchString(text))
}

// Everything tells whether the pattern is the one that stands for every text.
func (p Pattern) Everything() bool { return p.text == "**" }

// Match tells whether one of the patterns stands for the text.
func Match(patterns []Pattern, text string) bool {
	return slices.ContainsFunc(patterns, func(p Pattern) bool { return p.Matches(text) })
}
