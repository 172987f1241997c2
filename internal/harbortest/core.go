package harbortest

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"strings"
)

// core is Harbor's own server: request id, refusals that come before
// everything, session cookie, then the service that the path names.
func (h *Harbor) core(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Request-Id")
	if id == "" {
		id = newUUID()
	}
	w.Header().Set("X-Request-Id", id)
	h.redisDelay(r.Context())

	x := &exchange{h: h, w: w, r: r, to: parseTarget(r.URL.Path)}
	registry := strings.HasPrefix(r.URL.Path, "/v2/")
	if registry && x.refusedEarly() || x.forged() {
		return
	}
	x.setCookies()
	switch {
	case registry:
		x.serveRegistry()
	case r.URL.Path == "/service/token", r.URL.Path == "/service/token/":
		h.serveToken(w, r)
	default:
		x.serveAPI()
	}
}

// refusedEarly answers what Harbor refuses before it sets a cookie: a name
// without project, and writes while it is read-only or cannot read its own
// configuration.
func (x *exchange) refusedEarly() bool {
	if name := x.to.repository; name != "" && !strings.Contains(name, "/") {
		x.fail(http.StatusBadRequest, "BAD_REQUEST", "bad request: invalid repository name: "+name)
		return true
	}
	if x.r.Method == http.MethodGet || x.r.Method == http.MethodHead {
		return false
	}
	x.h.mu.Lock()
	readOnly := x.h.readOnly
	x.h.mu.Unlock()
	switch {
	case x.h.isDown(Database):
		x.fail(http.StatusInternalServerError, "UNKNOWN", "internal server error")
	case readOnly:
		x.fail(http.StatusForbidden, "DENIED", "The system is in read only mode. Any modification is prohibited.")
	default:
		return false
	}
	return true
}

// newUUID returns a random UUID, RFC 9562 version 4.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // does not fail
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
