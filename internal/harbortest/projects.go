package harbortest

import (
	"fmt"
	"strings"
	"time"
)

// Policy is a rule that a project applies to the pulls of manifests.
type Policy string

// RequireSignature refuses manifests that are not signed with 412
// PROJECTPOLICYVIOLATION. The stand-in looks at no signatures: it refuses all.
const RequireSignature Policy = "cosign"

// Project is a project of a Harbor.
type Project struct {
	Name       string
	Public     bool   // anybody may pull
	Policy     Policy // "" for none
	Immutable  bool   // tags cannot be moved or deleted
	ProxyCache bool   // a cache of the registry that [Harbor.Upstream] returns
	DockerHub  bool   // of a proxy-cache project: names without library/ are redirected
}

// project is a Project with what happened to it.
type project struct {
	Project
	created time.Time
	content *Registry // what Harbor has stored
	proxy   *proxy    // of a proxy-cache project
}

// AddProject adds a project. For a name that exists it changes the settings and
// keeps the content.
func (h *Harbor) AddProject(p Project) {
	h.mu.Lock()
	defer h.mu.Unlock()
	known := h.projects[p.Name]
	if known == nil {
		known = &project{created: time.Now(), content: NewRegistry()}
		h.projects[p.Name] = known
	}
	if p.ProxyCache && known.proxy == nil {
		known.proxy = newProxy()
	}
	known.Project = p
}

// RemoveProject removes a project with its content. Tokens that were issued
// before are of no use for a new project of the same name.
func (h *Harbor) RemoveProject(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.projects, name)
}

// Content returns what Harbor holds for the project of a repository. Names in
// it are whole, project included.
func (h *Harbor) Content(repository string) (*Registry, error) {
	p, ok := h.project(repository)
	if !ok {
		return nil, fmt.Errorf("harbortest: no project for repository %s", repository)
	}
	return p.content, nil
}

// Upstream returns the registry behind a proxy-cache project. Names in it are
// without the project: hub-proxy/library/fresh is library/fresh there.
func (h *Harbor) Upstream(name string) (*Registry, error) {
	p, ok := h.project(name)
	if !ok || p.proxy == nil {
		return nil, fmt.Errorf("harbortest: no proxy-cache project %s", name)
	}
	return p.proxy.upstream, nil
}

// project returns a copy of the project that a repository belongs to.
func (h *Harbor) project(repository string) (project, bool) {
	name, _, _ := strings.Cut(repository, "/")
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.projects[name]
	if p == nil {
		return project{}, false
	}
	return *p, true
}
