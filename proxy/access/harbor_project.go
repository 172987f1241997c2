package access

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"breakwater/tokencache"
)

// recall is what is remembered of a login's right in a project.
func (h *Harbor) recall(l login, project string) (granted, remembered bool) {
	if _, known := h.known.get(l.print); !known {
		return false, false // refused since
	}
	which := h.inProject(l, project)
	if _, granted = h.granted.get(which); granted {
		return true, true
	}
	_, remembered = h.ungranted.get(which)
	return false, remembered
}

// note remembers what a question that began then was answered.
func (h *Harbor) note(l login, project string, granted bool, began time.Time) {
	which := h.inProject(l, project)
	if granted {
		h.granted.put(which, struct{}{}, began.Add(acceptedLoginMemory))
		return
	}
	h.granted.drop(which)
	h.ungranted.put(which, struct{}{}, began.Add(rejectedLoginMemory))
}

// recallAll tells whether all of the repositories' projects, if there is any, are
// remembered.
func (h *Harbor) recallAll(l login, repositories []string) (found map[string]bool, remembered bool) {
	found = make(map[string]bool, len(repositories))
	for _, repository := range repositories {
		project := projectOf(repository)
		if found[project], remembered = h.recall(l, project); !remembered {
			return nil, false
		}
	}
	return found, remembered
}

func (h *Harbor) inProject(l login, project string) fingerprint {
	return h.granted.fingerprint(string(l.print[:]), project)
}

func pullFrom(repository string) tokencache.Scope {
	return tokencache.Scope{Type: "repository", Name: repository, Actions: []string{"pull"}}
}

// projectOf is what Harbor's rights are given on, with the slash, so that it is no name
// that is without a project.
func projectOf(repository string) string {
	i := strings.IndexByte(repository, '/')
	if i < 0 {
		return repository
	}
	return repository[:i+1]
}

// projectsOf are the projects of repositories, of each of which there is one, as a key.
func projectsOf(repositories []string) string {
	projects := make([]string, len(repositories))
	for i, repository := range repositories {
		projects[i] = projectOf(repository)
	}
	slices.Sort(projects)
	return strings.Join(projects, " ")
}

// What one question may be about: nginx takes 8 KiB of a request's first line.
const (
	mostScopes    = 50
	longestScopes = 6 << 10 // bytes, as they are sent
)

// inOneQuestion is how many of the repositories, the first of them at least, may be
// asked about at once.
func inOneQuestion(repositories []string) int {
	length := 0
	for i, repository := range repositories {
		length += len("&scope=") + len(url.QueryEscape(pullFrom(repository).String()))
		if i == mostScopes || i > 0 && length > longestScopes {
			return i
		}
	}
	return len(repositories)
}
