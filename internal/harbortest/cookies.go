package harbortest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
)

// setCookies gives every request without a session a new one ("sid"), and every
// request that brings one, known or not, a CSRF token and its cookie.
func (x *exchange) setCookies() {
	cookie, err := x.r.Cookie("sid")
	if err == nil {
		x.setCSRF()
		x.w.Header().Add("Vary", "Cookie")
	}
	if err != nil || !x.h.sessionKnown(cookie.Value) {
		http.SetCookie(x.w, &http.Cookie{Name: "sid", Value: x.h.newSession(), Path: "/", HttpOnly: true})
	}
}

// forged answers 403 to a write that brings a session and no CSRF token, even
// if its bearer is good. There are no forms here, so no CSRF token is ever sent
// back.
func (x *exchange) forged() bool {
	switch x.r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return false
	}
	if _, err := x.r.Cookie("sid"); err != nil {
		return false
	}
	x.setCSRF()
	x.fail(http.StatusForbidden, "FORBIDDEN", "CSRF token not found in request")
	return true
}

func (x *exchange) setCSRF() {
	token := make([]byte, 64)
	randomBytes(token)
	http.SetCookie(x.w, &http.Cookie{
		Name: "_gorilla_csrf", Value: base64.RawURLEncoding.EncodeToString(token), Path: "/", MaxAge: 12 * 60 * 60,
		HttpOnly: true, Secure: x.h.scheme(x.r) == "https", SameSite: http.SameSiteStrictMode,
	})
	x.w.Header().Set("X-Harbor-Csrf-Token", base64.StdEncoding.EncodeToString(token))
}

// newSession returns a session id that sessionKnown recognises, so that nothing
// need be kept per session: eight random bytes and eight of their HMAC.
func (h *Harbor) newSession() string {
	id := make([]byte, 8, 16)
	randomBytes(id)
	return hex.EncodeToString(append(id, h.sessionMAC(id)...))
}

func (h *Harbor) sessionKnown(sid string) bool {
	id, err := hex.DecodeString(sid)
	return err == nil && len(id) == 16 && hmac.Equal(id[8:], h.sessionMAC(id[:8]))
}

func (h *Harbor) sessionMAC(id []byte) []byte {
	mac := hmac.New(sha256.New, h.cookieKey[:])
	mac.Write(id)
	return mac.Sum(nil)[:8]
}
