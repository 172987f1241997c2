package harbortest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"github.com/opencontainers/go-digest"
)

// comparedHeaders are those of an answer that mean something to a client.
var comparedHeaders = []string{
	"Accept-Ranges", "Allow", "Cache-Control", "Content-Encoding", "Content-Security-Policy", "Docker-Content-Digest",
	"Docker-Distribution-Api-Version", "Docker-Upload-Uuid", "Etag", "Link", "Location", "Oci-Filters-Applied", "Oci-Subject",
	"Range", "Retry-After", "Vary", "Www-Authenticate", "X-Content-Type-Options", "X-Frame-Options", "X-Total-Count",
}

// compare returns the ways in which an answer is not what was recorded.
func (w *world) compare(e recorded, got *http.Response, body []byte, cut bool) []string {
	var wrong []string
	differ := func(what string, got, want any) {
		if got, want := fmt.Sprintf("%v", got), fmt.Sprintf("%v", want); got != want {
			wrong = append(wrong, fmt.Sprintf("%s: got %s, recorded %s", what, got, want))
		}
	}
	differ("status", got.StatusCode, e.status)
	for _, name := range comparedHeaders {
		differ(name, fmt.Sprintf("%q", got.Header.Values(name)), w.translate(fmt.Sprintf("%q", e.header.Values(name))))
	}
	differ("Content-Type", contentType(got.Header), contentType(e.header))
	differ("cookies", cookies(got.Header), cookies(e.header))
	differ("X-Request-Id", got.Header.Get("X-Request-Id") != "", e.header.Get("X-Request-Id") != "")
	differ("X-Harbor-Csrf-Token", got.Header.Get("X-Harbor-Csrf-Token") != "", e.header.Get("X-Harbor-Csrf-Token") != "")
	differ("Content-Range", ofTotal.ReplaceAllString(got.Header.Get("Content-Range"), "/*"), ofTotal.ReplaceAllString(e.header.Get("Content-Range"), "/*"))
	if e.status >= 400 || e.status == http.StatusPartialContent && !strings.HasPrefix(e.header.Get("Content-Type"), "multipart/") {
		differ("Content-Length", lengthOf(got.Header), lengthOf(e.header))
	}
	differ("body cut off", cut, slices.ContainsFunc(e.notes, func(n string) bool { return strings.HasPrefix(n, "(curl: (18)") }))
	if len(wrong) == 0 && !cut {
		wrong = append(wrong, w.compareBody(e, got, body)...)
	}
	return append(wrong, w.compareUpstream(e)...)
}

var ofTotal = regexp.MustCompile(`/\d+$`)

// contentType without what is random in it.
func contentType(h http.Header) string {
	t, _, multipart := strings.Cut(h.Get("Content-Type"), "; boundary=")
	if multipart {
		return t + "; boundary=…"
	}
	return t
}

// lengthOf takes a missing length for none.
func lengthOf(h http.Header) string {
	if h.Get("Content-Length") == "" {
		return "0"
	}
	return h.Get("Content-Length")
}

// cookies lists the cookies set, with their attributes, without values and times.
func cookies(h http.Header) []string {
	set := []string{}
	for _, line := range h.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			return []string{err.Error()}
		}
		set = append(set, fmt.Sprintf("%s path=%s http=%t secure=%t same-site=%d age=%d", c.Name, c.Path, c.HttpOnly, c.Secure, c.SameSite, c.MaxAge))
	}
	slices.Sort(set)
	return set
}

// compareBody compares texts and JSON; of content it checks the digest.
func (w *world) compareBody(e recorded, got *http.Response, body []byte) []string {
	switch kind := e.header.Get("Content-Type"); {
	case e.method() == http.MethodHead || e.status == http.StatusNotModified || strings.HasPrefix(kind, "multipart/"):
		return nil
	case strings.HasPrefix(e.answer, `{"token"`) || e.header.Get("Content-Encoding") != "":
		return compareToken(e, body)
	case e.header.Get("Docker-Content-Digest") != "" && e.status == http.StatusOK:
		return checkDigest(got.Header.Get("Docker-Content-Digest"), body)
	case strings.HasPrefix(e.answer, "<binary") || strings.Contains(e.answer, "bytes in all") && e.status < 400 || e.status == http.StatusPartialContent:
		return nil
	case strings.HasPrefix(kind, "application/"):
		return compareJSON(w.translate(e.answer), string(body))
	}
	want := strings.TrimSpace(strings.TrimSuffix(e.answer, "(no body)"))
	if text := strings.TrimSpace(string(body)); text != want {
		return []string{fmt.Sprintf("body: got %q, recorded %q", text, want)}
	}
	return nil
}

func checkDigest(want string, body []byte) []string {
	if got := digest.FromBytes(body).String(); got != want {
		return []string{fmt.Sprintf("body has digest %s, Docker-Content-Digest is %s", got, want)}
	}
	return nil
}

// compareJSON compares documents but for what cannot be the same: sizes of other
// content, times, texts of inner errors. A text that was cut short in the
// recording is compared as far as it goes.
func compareJSON(want, got string) []string {
	if short, _, cut := strings.Cut(want, "\n... ("); cut {
		if !strings.HasPrefix(got, short) {
			return []string{fmt.Sprintf("body: got %q, recorded %q", got, want)}
		}
		return nil
	}
	a, errA := withoutVolatile(want)
	b, errB := withoutVolatile(got)
	if errA != nil || errB != nil || !reflect.DeepEqual(a, b) {
		return []string{fmt.Sprintf("body: got %s, recorded %s (%v, %v)", got, want, errA, errB)}
	}
	return nil
}

func withoutVolatile(text string) (any, error) {
	var v any
	err := json.Unmarshal([]byte(text), &v)
	strip(v)
	return v, err
}

func strip(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, key := range []string{"size", "current_time", "error"} {
			delete(v, key)
		}
		for _, inner := range v {
			strip(inner)
		}
		if list, ok := v["manifests"].([]any); ok { // in the order of the digests, which differ
			slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
	case []any:
		for _, inner := range v {
			strip(inner)
		}
	}
}

// compareUpstream compares what reached the upstream of the proxy-cache project,
// where the recording tells it.
func (w *world) compareUpstream(e recorded) []string {
	for _, note := range e.notes {
		_, list, ok := strings.Cut(note, "requests that reached the upstream meanwhile: ")
		if !ok {
			continue
		}
		want := w.translate(strings.TrimSuffix(list, ")"))
		got := strings.Join(w.h.UpstreamRequests(), "; ")
		if got == "" {
			got = "none"
		}
		if got != want {
			return []string{fmt.Sprintf("upstream requests: got %s, recorded %s", got, want)}
		}
	}
	return nil
}

var (
	tokenBody    = regexp.MustCompile(`^\{"token":"eyJ\.\.\.<JWT: sub (\S+), access (.*)>","access_token":"(.*)","expires_in":(\d+),"issued_at":"[^"]+"\}$`)
	claimsNote   = regexp.MustCompile(`^decoded JWT claims: sub=(\S+) exp-iat=(\d+) access=(.*)$`)
	fullClaims   = regexp.MustCompile(`^claims: (\{.*\})$`)
	headerOfNote = regexp.MustCompile(`^header: (\{.*\})$`)
)

// compareToken compares the claims of a token: subject, life, and rights, in
// whatever order; where the recording has them in full, the names of all claims.
func compareToken(e recorded, body []byte) []string {
	if e.header.Get("Content-Encoding") == "gzip" {
		zip, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return []string{err.Error()}
		}
		if body, err = io.ReadAll(zip); err != nil {
			return []string{err.Error()}
		}
	}
	var answer struct {
		Token       string  `json:"token"`
		AccessToken *string `json:"access_token"`
		ExpiresIn   int     `json:"expires_in"`
		IssuedAt    string  `json:"issued_at"`
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&answer); err != nil || answer.AccessToken == nil || *answer.AccessToken != "" || answer.IssuedAt == "" {
		return []string{fmt.Sprintf("token body %s: %v", body, err)}
	}
	var claims Claims
	token, _, err := jwt.NewParser().ParseUnverified(answer.Token, &claims)
	if err != nil {
		return []string{err.Error()}
	}
	var wrong []string
	if m := tokenBody.FindStringSubmatch(e.answer); m != nil {
		got := fmt.Sprintf("sub %s, access %s, expires_in %d", subject(claims), shortAccess(claims.Access), answer.ExpiresIn)
		want := fmt.Sprintf("sub %s, access %s, expires_in %s", m[1], normalAccess(m[2]), m[4])
		if got != want {
			wrong = append(wrong, fmt.Sprintf("token: got %s, recorded %s", got, want))
		}
	} else if e.header.Get("Content-Encoding") == "" {
		wrong = append(wrong, "the recorded token cannot be read: "+e.answer)
	}
	for _, note := range e.notes {
		wrong = append(wrong, compareClaims(note, token, claims)...)
	}
	return wrong
}

func compareClaims(note string, token *jwt.Token, claims Claims) []string {
	var wrong []string
	if m := claimsNote.FindStringSubmatch(note); m != nil {
		var access []Access
		if err := json.Unmarshal([]byte(m[3]), &access); err != nil {
			return []string{err.Error()}
		}
		life := claims.ExpiresAt.Unix() - claims.IssuedAt.Unix()
		if got, want := shortAccess(claims.Access), shortAccess(access); got != want || fmt.Sprint(life) != m[2] || (claims.Access == nil) != (access == nil) {
			wrong = append(wrong, fmt.Sprintf("claims: got %s for %d s, recorded %s", got, life, note))
		}
	}
	if m := fullClaims.FindStringSubmatch(note); m != nil {
		body, err := json.Marshal(claims)
		if got, want := keysOf(string(body)), keysOf(m[1]); err != nil || got != want || claims.Issuer != tokenIssuer || claims.Audience != tokenService {
			wrong = append(wrong, fmt.Sprintf("claims: got %s, recorded %s (%v)", got, want, err))
		}
	}
	if m := headerOfNote.FindStringSubmatch(note); m != nil {
		body, err := json.Marshal(token.Header)
		if got, want := keysOf(string(body)), keysOf(m[1]); err != nil || got != want || token.Header["alg"] != "RS256" {
			wrong = append(wrong, fmt.Sprintf("token header: got %s, recorded %s (%v)", got, want, err))
		}
	}
	return wrong
}

func keysOf(object string) string {
	var m map[string]any
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		return err.Error()
	}
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

func subject(c Claims) string {
	if c.Subject == "" {
		return "absent"
	}
	return c.Subject
}

// shortAccess writes access as the recordings do, actions in order.
func shortAccess(access []Access) string {
	if access == nil {
		return "null"
	}
	var items []string
	for _, a := range access {
		actions := slices.Sorted(slices.Values(a.Actions))
		if len(actions) == 0 {
			actions = []string{"(none)"}
		}
		items = append(items, a.Type+":"+a.Name+":"+strings.Join(actions, ","))
	}
	return strings.Join(items, ", ")
}

// normalAccess puts the actions of a recorded access into order.
func normalAccess(text string) string {
	items := strings.Split(text, ", ")
	for i, item := range items {
		if at := strings.LastIndex(item, ":"); at >= 0 {
			actions := strings.Split(item[at+1:], ",")
			slices.Sort(actions)
			items[i] = item[:at+1] + strings.Join(actions, ",")
		}
	}
	return strings.Join(items, ", ")
}
