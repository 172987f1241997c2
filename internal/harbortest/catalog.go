package harbortest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// serveCatalog lists all repositories, to Basic credentials with the right only:
// a Bearer is refused whatever it claims.
func (x *exchange) serveCatalog() {
	if a := x.by.account; a == nil || !a.Admin && !a.Catalog {
		x.unauthorized("unauthorized to list catalog", x.challenge())
		return
	}
	if x.r.Method != http.MethodGet {
		x.notAllowed(http.MethodGet)
		return
	}
	var names []string
	x.h.mu.Lock()
	for _, p := range x.h.projects {
		names = append(names, p.content.repositories()...)
	}
	x.h.mu.Unlock()
	slices.Sort(names)
	if page, ok := x.page("/v2/_catalog", names); ok {
		x.answerList(struct {
			Repositories []string `json:"repositories"`
		}{page})
	}
}

// serveTags answers end-8.
func (x *exchange) serveTags(p project) {
	if x.r.Method != http.MethodGet {
		x.notAllowed(http.MethodGet)
		return
	}
	tags, exists := p.content.tags(x.to.repository)
	if remote, ok := x.proxyTags(p); ok {
		tags, exists = remote, true
	}
	if !exists {
		x.fail(http.StatusNotFound, "NOT_FOUND", fmt.Sprintf("repository %s not found", x.to.repository))
		return
	}
	if page, ok := x.page("/v2/"+x.to.repository+"/tags/list", tags); ok {
		x.answerList(struct {
			Name string   `json:"name"`
			Tags []string `json:"tags"`
		}{x.to.repository, page})
	}
}

// page cuts the page that n and last ask for out of a sorted list, and sets the
// relative Link to the next one. It answers a bad n itself.
func (x *exchange) page(path string, all []string) ([]string, bool) {
	query := x.r.URL.Query()
	rest := []string{}
	for i, name := range all {
		if name > query.Get("last") {
			rest = all[i:]
			break
		}
	}
	if !query.Has("n") {
		return rest, true
	}
	n, err := strconv.Atoi(query.Get("n"))
	if err != nil || n < 0 {
		x.fail(http.StatusBadRequest, "BAD_REQUEST", "the N must be a positive int type")
		return nil, false
	}
	if n >= len(rest) {
		return rest, true
	}
	if n > 0 {
		next := url.Values{"last": {rest[n-1]}, "n": {strconv.Itoa(n)}}
		x.w.Header().Set("Link", fmt.Sprintf(`<%s?%s>; rel="next"`, path, next.Encode()))
	}
	return rest[:n:n], true
}

func (x *exchange) answerList(list any) {
	var body strings.Builder
	if err := json.NewEncoder(&body).Encode(list); err != nil {
		http.Error(x.w, err.Error(), http.StatusInternalServerError)
		return
	}
	x.answerJSON(http.StatusOK, jsonType, []byte(body.String()))
}
