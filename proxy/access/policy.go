package access

import (
	"fmt"
	"slices"
	"strings"

	"breakwater/internal/pattern"
)

// Policy is what clients may pull: whatever one of its rules allows, and nothing
// else. The zero Policy allows nothing.
type Policy []Rule

// Rule allows some clients to pull from some repositories.
type Rule struct {
	// Anyone that the listener's mode lets in is meant; else those whose subject,
	// or another proven name, matches one of Subjects, or a group one of Groups.
	Anyone   bool
	Subjects []pattern.Pattern
	Groups   []pattern.Pattern
	// Pull are the repositories, as they are called upstream.
	Pull []pattern.Pattern
}

// Everything allows whoever the mode lets in to pull whatever upstream gives.
func Everything() Policy { return Policy{{Anyone: true, Pull: pattern.All("**")}} }

// Allows tells whether the client may pull from the repository.
func (p Policy) Allows(c Client, repository string) bool {
	return slices.ContainsFunc(p, func(r Rule) bool { return pattern.Match(r.Pull, repository) && r.means(c) })
}

// allowsAll tells whether there is nothing that Allows would say no to.
func (p Policy) allowsAll(c Client) bool {
	return slices.ContainsFunc(p, func(r Rule) bool { return slices.ContainsFunc(r.Pull, pattern.Pattern.Everything) && r.means(c) })
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
	return r.Anyone || c.Subject != "" && pattern.Match(r.Subjects, c.Subject) ||
		slices.ContainsFunc(c.Names, func(name string) bool { return pattern.Match(r.Subjects, name) }) ||
		slices.ContainsFunc(c.Groups, func(group string) bool { return pattern.Match(r.Groups, group) })
}
