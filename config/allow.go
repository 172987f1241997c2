package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

const (
	maxRules    = 1000
	maxPatterns = 1000 // of one list in one rule
	maxPattern  = 512  // bytes; a repository's name has 255 at most
)

// Rule allows some clients to pull from some repositories. In a pattern * is any text
// without / and :, and ** is any text.
type Rule struct {
	Subjects []string `yaml:"subjects,omitempty"`
	Groups   []string `yaml:"groups,omitempty"`
	Pull     []string `yaml:"pull"` // repositories, as clients call them: by the route first
}

// validateAllow reports what is wrong with the rules of a listener in that mode.
// Where clients have names, nothing is allowed that is not written; the word of an
// anonymous listener is its networks', and that of harbor's is Harbor's own.
func (c Config) validateAllow(r *report, at string, l Listener, mode string) {
	path := at + ".allow"
	switch {
	case l.Allow == nil && (mode == "anonymous" || mode == "harbor"):
		if l.Hide && mode == "anonymous" {
			r.warn(at+".hide", "hides nothing: whoever is let in here may pull all that upstream gives", "remove it, or write with allow what may be pulled")
		}
		return
	case l.Allow == nil:
		r.missing(at, path, "is missing, and what it does not allow nobody may pull", fmt.Sprintf("write who may pull what, such as allow: [{subjects: [%q], pull: [%q]}]", someone(mode), c.something()))
		return
	case len(l.Allow) == 0 || len(l.Allow) > maxRules:
		r.problem(path, fmt.Sprintf("has %d rules", len(l.Allow)), fmt.Sprintf("write 1 to %d; without one nobody may pull", maxRules))
		return
	}
	open := c.openings(r)
	for i, rule := range l.Allow {
		at := fmt.Sprintf("%s[%d]", path, i)
		c.validateRule(r, at, rule, mode)
		for i, written := range rule.Pull {
			c.validateName(r, fmt.Sprintf("%s.pull[%d]", at, i), written, open)
		}
	}
}

// someone is an example of who clients of a mode are.
func someone(mode string) string {
	if mode == "token" {
		return "system:serviceaccount:ci-*:*"
	}
	return "alice"
}

// something is an example of what there is to pull.
func (c Config) something() string {
	for _, name := range slices.Sorted(maps.Keys(c.Routes)) {
		return name + "/**"
	}
	return "docker.io/**"
}

func (c Config) validateRule(r *report, at string, rule Rule, mode string) {
	if mode == "anonymous" {
		for key, patterns := range map[string][]string{"subjects": rule.Subjects, "groups": rule.Groups} {
			if patterns != nil {
				r.problem(at+"."+key, "nobody is known by name on an anonymous listener", "remove it: what pull names is for all of its networks")
			}
		}
	} else {
		rule.validateWho(r, at, mode)
	}
	if rule.Pull == nil {
		r.missing(at, at+".pull", "is missing", fmt.Sprintf("write the repositories, such as pull: [%q]", c.something()))
	} else {
		validatePatterns(r, at+".pull", rule.Pull, fullNames)
	}
	for i, pattern := range rule.Subjects {
		if path := fmt.Sprintf("%s.subjects[%d]", at, i); !r.reported[path] {
			warnOfServiceAccount(r, path, pattern)
		}
	}
}

// warnOfServiceAccount tells patterns that match no subject of Kubernetes, which has
// four parts: system:serviceaccount:NAMESPACE:NAME.
func warnOfServiceAccount(r *report, path, pattern string) {
	_, rest, ok := strings.Cut(pattern, "system:serviceaccount:")
	if ok && !strings.Contains(rest, "**") && strings.Count(rest, ":") != 1 {
		r.warn(path, shown(pattern)+" matches no service account: * ends at each :", "write system:serviceaccount:NAMESPACE:NAME, with * in place of either")
	}
}

func (rule Rule) validateWho(r *report, at, mode string) {
	if rule.Subjects == nil && rule.Groups == nil {
		r.missing(at, at+".subjects", "is missing, and so are groups: nobody is meant", "write subjects or groups; [\"**\"] is whoever is let in")
		return
	}
	if rule.Subjects != nil {
		validatePatterns(r, at+".subjects", rule.Subjects, clients)
	}
	if rule.Groups != nil {
		validatePatterns(r, at+".groups", rule.Groups, clients)
	}
	if rule.Subjects == nil && (mode == "password" || mode == "harbor") {
		r.warn(at+".groups", "means nobody: clients of mode "+mode+" have no groups", "write subjects")
	}
}

// star is what is wrong with a * alone where few names are that short.
var star = mistake{`"*" matches no name with a / or : in it`, "write ** for all"}

func validatePatterns(r *report, path string, patterns []string, names func(pattern string) *mistake) {
	if len(patterns) == 0 || len(patterns) > maxPatterns {
		r.problem(path, fmt.Sprintf("has %d entries", len(patterns)), fmt.Sprintf("write 1 to %d patterns", maxPatterns))
		return
	}
	for i, pattern := range patterns {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case pattern == "":
			r.problem(at, "is empty", "write a name, or a pattern with * and **")
		case len(pattern) > maxPattern:
			r.problem(at, fmt.Sprintf("is longer than %d bytes", maxPattern), "write a shorter one")
		case strings.Contains(pattern, "***"):
			r.problem(at, shown(pattern)+" has more than two * in a row", "write * for any text without / and :, ** for any text")
		default:
			r.wrong(at, names(pattern))
		}
	}
}

// hostAndPort is a first word that names a registry by its port too.
var hostAndPort = regexp.MustCompile(`^(?:[a-z0-9.*-]+|\[[0-9a-f:.]+\]):[0-9*]+(?:/|$)`)

// fullNames is what is wrong with a pattern that stands for names of clients, which
// begin with that of a route.
func fullNames(pattern string) *mistake {
	if pattern == "*" {
		return &star
	}
	return repositories(pattern)
}

// repositories is what is wrong with a pattern that stands for names of repositories
// (OCI distribution spec, "Pulling manifests"). Whether there is a registry of the name
// that it begins with is not known here.
func repositories(pattern string) *mistake {
	name := strings.TrimPrefix(pattern, hostAndPort.FindString(pattern))
	odd := strings.IndexFunc(name, notInRepository)
	switch {
	case odd >= 0 && strings.ToLower(name) != name && strings.IndexFunc(strings.ToLower(name), notInRepository) < 0:
		return &mistake{shown(pattern) + " has capitals, which no repository has", "write " + strings.ToLower(pattern)}
	case odd >= 0 && strings.ContainsRune(":@", rune(name[odd])):
		return &mistake{shown(pattern) + " names a tag or a digest, and whole repositories are meant", "write what stands before the " + name[odd:odd+1]}
	case odd >= 0:
		return &mistake{shown(pattern) + " holds what no repository's name does", "write lower-case letters, digits, . _ - / and *"}
	case strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || strings.Contains(name, "//"):
		return &mistake{shown(pattern) + " begins or ends with a /, or has two in a row, as no repository's name does", "write one / between two words"}
	}
	return nil
}

func notInRepository(c rune) bool {
	return (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("._-/*", c)
}

// clients is what is wrong with a pattern that stands for subjects or groups.
func clients(pattern string) *mistake {
	if pattern == "*" {
		return &star
	}
	if strings.ContainsFunc(pattern, unicode.IsControl) || strings.TrimSpace(pattern) != pattern {
		return &mistake{shown(pattern) + " begins or ends with a space, or holds control characters", "write the name alone"}
	}
	return nil
}
