package harbortest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
)

// proxy is the far side of a proxy-cache project: its upstream, and what Harbor
// has fetched from there and not stored yet.
type proxy struct {
	upstream *Registry

	mu      sync.Mutex                // guards all below
	indexes map[repositoryDigest]bool // that were fetched: kept in Redis until they are stored
	pending []pending
}

func newProxy() *proxy {
	return &proxy{upstream: NewRegistry(), indexes: map[repositoryDigest]bool{}}
}

// proxyManifest answers from the upstream, or says that the project's own
// content is to be served: what is asked for by digest and stored, what is
// stored and still current, and whatever there is while the upstream is down.
//
// What comes from the upstream has an unquoted ETag, and at a first GET by tag
// an empty one and an empty digest; Accept is not looked at.
func (x *exchange) proxyManifest(p project) bool {
	x.h.storeDue(p, false)
	d, byDigest := x.to.digest()
	local, have := p.content.manifest(x.to.repository, x.to.reference)
	if have && byDigest || !x.pingUpstream() {
		return false
	}
	name := strings.TrimPrefix(x.to.repository, p.Name+"/")
	path := "/v2/" + name + "/manifests/" + x.to.reference
	m, ok := p.proxy.upstream.manifest(name, x.to.reference)
	if !ok {
		x.h.reachedUpstream(http.MethodHead, path, http.StatusNotFound)
		tag := x.to.reference
		if byDigest {
			tag = ""
		}
		x.fail(http.StatusNotFound, "NOT_FOUND", fmt.Sprintf("resource not found: repo %s, tag %s not found", x.to.repository, tag))
		return true
	}
	x.h.reachedUpstream(http.MethodHead, path, http.StatusOK)
	if have && local.digest == m.digest {
		return false
	}
	key := repositoryDigest{x.to.repository, m.digest}
	shown := m.digest.String()
	switch {
	case p.proxy.hasIndex(key):
	case x.head():
		x.h.reachedUpstream(http.MethodHead, path, http.StatusOK)
	default:
		x.h.reachedUpstream(http.MethodGet, path, http.StatusOK)
		p.proxy.fetched(key, x.to.reference, m)
		if !byDigest {
			shown = ""
		} else {
			shown = d.String()
		}
	}
	x.w.Header()["Docker-Content-Digest"] = []string{shown}
	x.w.Header()["Etag"] = []string{shown}
	x.answerManifest(m)
	return true
}

// proxyBlob answers a blob that is not stored from the upstream, whole whatever
// Range says, and stores it afterwards by a second request. A HEAD is never
// asked upstream.
func (x *exchange) proxyBlob(p project, d digest.Digest) bool {
	if _, have := p.content.blob(x.to.repository, d); have || x.head() || !x.h.thoughtHealthy(ProxyUpstream) {
		return false
	}
	if !x.pingUpstream() {
		x.fail(http.StatusInternalServerError, "UNKNOWN", "internal server error")
		return true
	}
	name := strings.TrimPrefix(x.to.repository, p.Name+"/")
	path := "/v2/" + name + "/blobs/" + d.String()
	content, ok := p.proxy.upstream.blob(name, d)
	if !ok {
		x.h.reachedUpstream(http.MethodGet, path, http.StatusNotFound)
		x.fail(http.StatusNotFound, "NOT_FOUND", fmt.Sprintf(
			`http status code: 404, body: {"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry","detail":"%s"}]}`+"\n", d))
		return true
	}
	x.h.reachedUpstream(http.MethodGet, path, http.StatusOK)
	x.w.Header().Set("Docker-Content-Digest", d.String())
	x.w.Header().Set("Etag", d.String())
	x.w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	// Without a Content-Type: net/http guesses it, here as in Harbor. A client
	// that has seen the end finds the blob stored; one that leaves does as well.
	half := len(content) / 2
	_, _ = x.w.Write(content[:half])
	x.h.reachedUpstream(http.MethodGet, path, http.StatusOK)
	if _, err := p.content.PushBlob(x.to.repository, content); err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = x.w.Write(content[half:])
	return true
}

// proxyTags lists the upstream's tags, if it is up.
func (x *exchange) proxyTags(p project) ([]string, bool) {
	if p.proxy == nil || !x.pingUpstream() {
		return nil, false
	}
	name := strings.TrimPrefix(x.to.repository, p.Name+"/")
	tags, ok := p.proxy.upstream.tags(name)
	status := http.StatusOK
	if !ok {
		status = http.StatusNotFound
	}
	x.h.reachedUpstream(http.MethodGet, "/v2/"+name+"/tags/list", status)
	return tags, ok
}

// pingUpstream is made before each question to an upstream that Harbor thinks
// healthy; one that it thinks unhealthy is not asked until the next check.
func (x *exchange) pingUpstream() bool {
	if !x.h.thoughtHealthy(ProxyUpstream) || x.h.isDown(ProxyUpstream) {
		return false
	}
	x.h.reachedUpstream(http.MethodGet, "/v2/", http.StatusOK)
	return true
}

func (h *Harbor) reachedUpstream(method, path string, status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.upstreams) < maxLog {
		h.upstreams = append(h.upstreams, fmt.Sprintf("%s %s %d", method, path, status))
	}
}
