package harbortest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// maxLog bounds the request log; the older half is dropped when it is full.
const maxLog = 20_000

// Request is one request that reached the Harbor, or its object storage, and
// what came of it. Status is 0 while it is not answered, or if it never was.
type Request struct {
	Time    time.Time
	Host    string
	Method  string
	Path    string // as sent, percent-encoding included
	Query   string // as sent
	Scheme  string // of Authorization as sent: "", "Basic", "Bearer"
	Account string // whom Harbor took the caller for; "" is nobody
	Status  int
	Bytes   int64 // of the body that were written
	Range   string
	Accept  []string
	Header  http.Header
}

// Requests returns the log, in the order of arrival.
func (h *Harbor) Requests() []Request {
	h.mu.Lock()
	defer h.mu.Unlock()
	requests := make([]Request, len(h.log))
	for i, entry := range h.log {
		requests[i] = *entry
	}
	return requests
}

// ResetRequests empties the log, and the log of the upstreams with it.
func (h *Harbor) ResetRequests() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log, h.upstreams = nil, nil
}

// Count counts the requests in the log for which the function is true.
func (h *Harbor) Count(is func(Request) bool) int {
	n := 0
	for _, r := range h.Requests() {
		if is(r) {
			n++
		}
	}
	return n
}

// IsToken tells whether a request went to the token service.
func (r Request) IsToken() bool { return strings.HasPrefix(r.Path, "/service/token") }

// IsManifest tells whether a request was for a manifest.
func (r Request) IsManifest() bool { return strings.Contains(r.Path, "/manifests/") }

// IsBlob tells whether a request was for a blob, an upload or the object storage.
func (r Request) IsBlob() bool { return strings.Contains(r.Path, "/blobs/") }

// UpstreamRequests lists what reached the upstreams of proxy-cache projects, as
// "METHOD PATH STATUS".
func (h *Harbor) UpstreamRequests() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.upstreams)
}

// Secrets returns every secret that the Harbor gave out or knows: passwords,
// Basic credentials, tokens, signatures of presigned URLs, upload state. None
// of them may show up in anything that a program under test prints.
func (h *Harbor) Secrets() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	secrets := make([]string, 0, len(h.secrets))
	for s := range h.secrets {
		secrets = append(secrets, s)
	}
	slices.Sort(secrets)
	return secrets
}

// keepSecret adds to Secrets; the caller holds h.mu.
func (h *Harbor) keepSecret(s string) {
	if s != "" {
		h.secrets[s] = true
	}
}

type notedKey struct{}

// noted is a response writer that fills in a log entry.
type noted struct {
	http.ResponseWriter
	h     *Harbor
	entry *Request
}

// record adds a request to the log.
func (h *Harbor) record(w http.ResponseWriter, r *http.Request) *noted {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	entry := &Request{
		Time: time.Now(), Host: r.Host, Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery,
		Scheme: scheme, Range: r.Header.Get("Range"), Accept: r.Header.Values("Accept"), Header: r.Header.Clone(),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.log) >= maxLog {
		h.log = slices.Clone(h.log[maxLog/2:])
	}
	h.log = append(h.log, entry)
	return &noted{ResponseWriter: w, h: h, entry: entry}
}

// finish notes an answer that was left to net/http, an empty 200.
func (n *noted) finish() { n.status(http.StatusOK) }

func (n *noted) status(status int) {
	n.h.mu.Lock()
	defer n.h.mu.Unlock()
	if n.entry.Status == 0 {
		n.entry.Status = status
	}
}

func (n *noted) WriteHeader(status int) {
	n.status(status)
	n.ResponseWriter.WriteHeader(status)
}

func (n *noted) Write(b []byte) (int, error) {
	n.status(http.StatusOK)
	written, err := n.ResponseWriter.Write(b)
	if n.entry.Method != http.MethodHead { // net/http drops what is written for a HEAD
		n.h.mu.Lock()
		n.entry.Bytes += int64(written)
		n.h.mu.Unlock()
	}
	return written, err
}

// Unwrap serves http.ResponseController.
func (n *noted) Unwrap() http.ResponseWriter { return n.ResponseWriter }

// noteAccount writes into the log whom a request came from.
func (h *Harbor) noteAccount(r *http.Request, account string) {
	if n, ok := r.Context().Value(notedKey{}).(*noted); ok {
		h.mu.Lock()
		n.entry.Account = account
		h.mu.Unlock()
	}
}
