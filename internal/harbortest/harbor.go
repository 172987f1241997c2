package harbortest

import (
	"context"
	"crypto/rsa"
	"net/http"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// AdminPassword is the password of "admin", the administrator that every Harbor
// begins with.
const AdminPassword = "Harbor12345-of-the-stand-in"

// Harbor is a stand-in for one Harbor installation. It is an [http.Handler];
// [Harbor.Start] and its relatives put it on a listener. All methods are safe
// for concurrent use. Make it with [New].
type Harbor struct {
	cookieKey [32]byte         // authenticates session cookies, see cookies.go
	signatory func() signatory // the token service's key, made at first use

	mu         sync.Mutex // guards all below; never held while an answer is written
	accounts   map[string]Account
	frozen     map[string]time.Time // database users that gave a wrong password, until when
	loginDelay time.Duration
	projects   map[string]*project
	uploads    map[string]string // upload id → repository
	readOnly   bool
	external   string // scheme of the external URL; "" follows the connection

	tokenLife time.Duration
	live      map[string]bool // jti of every token that was not revoked

	down      map[Part]bool
	checks    map[Part]*check
	redis     int // answers given since Redis went down
	faults    []*Fault
	log       []*Request
	upstreams []string // what reached the upstreams of proxy-cache projects
	secrets   map[string]bool
}

// New returns an empty Harbor with one administrator, "admin", whose password
// is [AdminPassword].
func New() *Harbor {
	h := &Harbor{
		signatory:  sync.OnceValue(newSignatory),
		accounts:   map[string]Account{},
		frozen:     map[string]time.Time{},
		loginDelay: 1500 * time.Millisecond,
		projects:   map[string]*project{},
		uploads:    map[string]string{},
		tokenLife:  30 * time.Minute,
		live:       map[string]bool{},
		down:       map[Part]bool{},
		checks:     newChecks(),
		secrets:    map[string]bool{},
	}
	randomBytes(h.cookieKey[:])
	h.AddAccount(Account{Name: "admin", Password: AdminPassword, Admin: true})
	return h
}

// signatory is the key pair that the token service signs with.
type signatory struct {
	key *rsa.PrivateKey
	kid string
}

// ServeHTTP answers one request, in the order that the package documentation
// gives.
func (h *Harbor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.observed(w, r, h.front)
}

// observed notes a request down, lets the faults have their way, and then has it
// served.
func (h *Harbor) observed(w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
	noted := h.record(w, r)
	r = r.WithContext(context.WithValue(r.Context(), notedKey{}, noted))
	if f := h.faultFor(r); f != nil {
		f.serve(noted, r, serve)
	} else {
		serve(noted, r)
	}
	noted.finish() // not after a panic: then there was no answer
}

// SetExternalURL sets the scheme of the external URL that Harbor is configured
// with, "http" or "https". The realm of a challenge has this scheme whatever
// the connection's is, and the request's Host as its host.
func (h *Harbor) SetExternalURL(url string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.external, _, _ = strings.Cut(url, "://")
}

// SetReadOnly switches the whole Harbor to read-only mode, or back.
func (h *Harbor) SetReadOnly(readOnly bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readOnly = readOnly
}

// Push stores an image as repository:tag, where repository begins with the name
// of a project: see [Registry.Push].
func (h *Harbor) Push(repository, tag string, img v1.Image) (v1.Hash, error) {
	g, err := h.Content(repository)
	if err != nil {
		return v1.Hash{}, err
	}
	return g.Push(repository, tag, img)
}

// PushIndex stores an index as repository:tag: see [Registry.PushIndex].
func (h *Harbor) PushIndex(repository, tag string, index v1.ImageIndex) (v1.Hash, error) {
	g, err := h.Content(repository)
	if err != nil {
		return v1.Hash{}, err
	}
	return g.PushIndex(repository, tag, index)
}

// PushArtifact stores an artifact: see [Registry.PushArtifact].
func (h *Harbor) PushArtifact(repository, tag string, a Artifact) (v1.Hash, error) {
	g, err := h.Content(repository)
	if err != nil {
		return v1.Hash{}, err
	}
	return g.PushArtifact(repository, tag, a)
}
