package access

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Policy is what clients may pull: whatever one of its rules allows, and nothing
// else. The zero Policy allows nothing.
type Policy []Rule

// Rule allows some clients to pull from some repositories.
type Rule struct {
	// Anyone that the listener's mode lets in is meant; else those whose subject,
	// or another proven name, matches one of Subjects, or a group one of Groups.
	Anyone   bool
	Subjects []Pattern
	Groups   []Pattern
	// Pull are the repositories, as they are called upstream.
	Pull []Pattern
}

// Everything allows whoever the mode lets in to pull whatever upstream gives.
func Everything() Policy { return Policy{{Anyone: true, Pull: []Pattern{NewPattern("**")}}} }

// Allows tells whether the client may pull from the repository.
func (p Policy) Allows(c Client, repository string) bool {
	return slices.ContainsFunc(p, func(r Rule) bool { return matches(r.Pull, repository) && r.means(c) })
}

// allowsAll tells whether there is nothing that Allows would say no to.
func (p Policy) allowsAll(c Client) bool {
	return slices.ContainsFunc(p, func(r Rule) bool { return slices.ContainsFunc(r.Pull, Pattern.all) && r.means(c) })
}

// about tells the log which rules are about a client that none allowed what it asked
// for: by the index that they have in the configuration.
func (p Policy) about(c Client) error {
	var named []string
	for i, r := range p {
		if r.means(c) {
			named = append(named, fmt.Sprintf("allow[%d]", i))
		}
	}
	if len(named) == 0 {
		return fmt.Errorf("no rule of allow means it; its groups are %.*q", longestInLogs, c.Groups[:min(len(c.Groups), 10)])
	}
	return fmt.Errorf("of allow it is meant by %s, without that repository", strings.Join(named, ", "))
}

// means tells whether the rule is about the client.
func (r Rule) means(c Client) bool {
	return r.Anyone || c.Subject != "" && matches(r.Subjects, c.Subject) ||
		slices.ContainsFunc(c.Names, func(name string) bool { return matches(r.Subjects, name) }) ||
		slices.ContainsFunc(c.Groups, func(group string) bool { return matches(r.Groups, group) })
}

func matches(patterns []Pattern, text string) bool {
	return slices.ContainsFunc(patterns, func(p Pattern) bool { return p.Matches(text) })
}

// Pattern stands for names: of repositories, subjects or groups. In it * is any text
// without / and :, ** is any text; the rest stands for itself.
type Pattern struct {
	prefix string         // what a match begins with
	rest   *regexp.Regexp // of the whole text; nil where anything may follow the prefix
}

// NewPattern reads a pattern; every text is one, though one that is not UTF-8 matches
// nothing of the kind.
func NewPattern(text string) Pattern {
	text = strings.ToValidUTF8(text, "\ufffd")
	prefix, _, _ := strings.Cut(text, "*")
	if text == prefix+"**" {
		return Pattern{prefix: prefix}
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
	return Pattern{prefix, regexp.MustCompile(`^(?s:` + expression.String() + `)$`)}
}

// Matches tells whether the pattern stands for the text.
func (p Pattern) Matches(text string) bool {
	return strings.HasPrefix(text, p.prefix) && (p.rest == nil || p.rest.MatchString(text))
}

func (p Pattern) all() bool { return p.prefix == "" && p.rest == nil }
