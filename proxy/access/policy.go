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
	// Pull are the repositories, as clients call them, each with its route:
	// docker.io/library/nginx.
	Pull []pattern.Pattern
}

// Repository is what a client wants to pull from: canonically, whichever way it was
// asked for.
type Repository struct {
	Upstream string // its name in the configuration
	Name     string // as upstream calls it
	// Names are all that clients may call it, each with its route. Whatever a rule says
	// of one of them, it says of the repository.
	Names []string
}

// Everything allows whoever the mode lets in to pull whatever routes open.
func Everything() Policy { return Policy{{Anyone: true, Pull: pattern.All("**")}} }

// Allows tells whether the client may pull from the repository.
func (p Policy) Allows(c Client, repository Repository) bool {
	return slices.ContainsFunc(p, func(r Rule) bool { return r.opens(repository) && r.means(c) })
}

// Opening are those of the rules, by their index, that allow somebody to pull from the
// repository.
func (p Policy) Opening(repository Repository) []int {
	var opening []int
	for i, r := range p {
		if r.opens(repository) {
			opening = append(opening, i)
		}
	}
	return opening
}

func (r Rule) opens(repository Repository) bool {
	return slices.ContainsFunc(repository.Names, func(name string) bool { return pattern.Match(r.Pull, name) })
}

// mayOpen tells whether the rule is about any name that one of those patterns stands for.
func (r Rule) mayOpen(names []pattern.Pattern) bool {
	return slices.ContainsFunc(names, func(p pattern.Pattern) bool { return slices.ContainsFunc(r.Pull, p.Overlaps) })
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
