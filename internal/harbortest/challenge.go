package harbortest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// caller is who a request comes from, as core sees it.
type caller struct {
	sent    bool     // there was an Authorization header, good or bad
	account *Account // by Basic
	token   *Claims  // by Bearer
}

// identify looks at the Authorization header. What is refused counts as nobody:
// a public repository answers it. The scheme's name is case-sensitive here.
func (h *Harbor) identify(r *http.Request) caller {
	authorization := r.Header.Get("Authorization")
	c := caller{sent: authorization != ""}
	if token, ok := strings.CutPrefix(authorization, "Bearer "); ok {
		if claims, good := h.verify(token); good {
			c.token = claims
			h.noteAccount(r, claims.Subject)
		}
	} else if name, password, ok := r.BasicAuth(); ok {
		if a, good := h.login(r.Context(), name, password); good {
			c.account = &a
			h.noteAccount(r, a.Name)
		}
	}
	return c
}

// known tells whether the caller is somebody: an anonymous token is nobody's.
func (c caller) known() bool {
	return c.account != nil || c.token != nil && c.token.Subject != ""
}

// may tells whether the caller may do something in a project. A token's rights
// are those of its project, for every repository in it, and for no project that
// was made after it; a good token without the project is refused even where the
// project is public.
func (c caller) may(action string, p project) bool {
	if c.token == nil {
		return slices.Contains(rights(c.account, p.Project), action)
	}
	if c.token.IssuedAt.Unix() < p.created.Unix() {
		return false
	}
	for _, a := range c.token.Access {
		name, _, _ := strings.Cut(a.Name, "/")
		if a.Type == "repository" && name == p.Name && slices.Contains(a.Actions, action) {
			return true
		}
	}
	return false
}

// actionOf maps a method to the right that it needs; "" is no request that
// Harbor knows.
func actionOf(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead:
		return "pull"
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		return "push"
	case http.MethodDelete:
		return "delete"
	}
	return ""
}

// authorize lets a request for a repository through, or answers 401: Harbor
// never says 403 or 404 for lack of rights.
func (x *exchange) authorize() (project, bool) {
	action := actionOf(x.r.Method)
	if action == "pull" && !x.by.sent {
		x.unauthorized("authorize header needed to send HEAD to repository", x.challenge())
		return project{}, false
	}
	p, ok := x.allowed(action, x.to.repository)
	if !ok {
		return project{}, false
	}
	if from := x.mountFrom(); from != "" {
		if _, ok := x.allowed("pull", from); !ok {
			return project{}, false
		}
	}
	return p, true
}

// allowed checks one right on one repository.
func (x *exchange) allowed(action, repository string) (project, bool) {
	if x.h.isDown(Database) {
		x.unauthorized(databaseError, "")
		return project{}, false
	}
	p, ok := x.h.project(repository)
	if !ok {
		name, _, _ := strings.Cut(repository, "/")
		x.unauthorized(fmt.Sprintf("project %s not found", name), "")
		return project{}, false
	}
	if !x.by.may(action, p) {
		x.unauthorized(fmt.Sprintf("unauthorized to access repository: %s, action: %s", repository, action), x.challenge())
		return project{}, false
	}
	return p, true
}

// challenge is the Www-Authenticate of a 401: Bearer for those who sent no
// Authorization, Basic for those whose Authorization was refused, and for the
// catalog always.
func (x *exchange) challenge() string {
	if x.by.sent || x.to.kind == kindCatalog {
		return `Basic realm="harbor"`
	}
	challenge := fmt.Sprintf(`Bearer realm="%s://%s/service/token",service="%s"`, x.h.scheme(x.r), x.r.Host, tokenService)
	if x.to.repository == "" {
		return challenge
	}
	scope := "repository:" + x.to.repository + ":"
	switch action := actionOf(x.r.Method); action {
	case "push":
		scope += "pull,push"
	default:
		scope += action
	}
	if from := x.mountFrom(); from != "" {
		scope += " repository:" + from + ":pull"
	}
	return challenge + fmt.Sprintf(`,scope="%s"`, scope)
}

// scheme of the external URL.
func (h *Harbor) scheme(r *http.Request) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.external != "":
		return h.external
	case r.TLS != nil:
		return "https"
	}
	return "http"
}

// unauthorized answers 401. Harbor says each message twice.
func (x *exchange) unauthorized(message, challenge string) {
	x.w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	x.w.Header()["Www-Authenticate"] = []string{challenge}
	x.fail(http.StatusUnauthorized, "UNAUTHORIZED", message+": "+message)
}
