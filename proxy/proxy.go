package proxy

import (
	"errors"
	"log"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"breakwater/blobcache"
	"breakwater/blobcache/index"
	"breakwater/proxy/access"
	"breakwater/proxy/registry"
	"breakwater/proxy/route"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
)

// Events are what a Proxy tells metrics of. Results and states are closed sets: the
// constants of this package.
type Events interface {
	// RequestBegan and RequestServed frame each request.
	RequestBegan()
	RequestServed(Served)
	// DigestMismatch counts content from upstream that is not what its digest
	// says, by kind ("manifest", "blob"). No client got it whole.
	DigestMismatch(upstream, kind string)
	// Fetched counts bytes of manifests that came from upstream.
	Fetched(upstream, kind string, n int64)
	// TagChecked counts questions what a tag is now.
	TagChecked(upstream, result string)
	// LinkProven counts questions whether a repository has what is held.
	LinkProven(upstream, result string)
	// DenialChanged counts refusals of what is held, and what became of them.
	DenialChanged(upstream, state string)
	// PullReported counts manifests fetched for upstream to know of their use.
	PullReported(upstream, result string)
	// StaleServed counts answers from a tag's record that upstream did not confirm
	// since age.
	StaleServed(upstream, kind string, age time.Duration)
}

// Served says how one request ended, in words of which each has few values.
type Served struct {
	Route  string // its name; "" where none was found, or nothing of it was looked at
	Kind   string // [registry.Kind]
	Method string
	Status int // 499 when the client left before it got an answer
	Cache  string
	Bytes  int64 // of the body
	Took   time.Duration
}

// Options of a [Proxy]; all are required.
type Options struct {
	Routes    *route.Table
	Origins   []Origin // every upstream that a route leads to; New panics where one is missing
	Cache     *blobcache.Cache
	UserAgent string // sent upstream: "breakwater/1.2.3"
	Events    Events
	Log       *zap.Logger
}

// Proxy is the registry that clients see. Close ends what it does in the
// background.
type Proxy struct {
	Options
	cache     *blobcache.Cache
	index     *index.Index
	origins   map[string]*origin // by upstream's name
	pseudonym string             // in Via

	buffers buffers
	// documents counts the bytes of manifests and lists in memory, up to maxHeld.
	documents *semaphore.Weighted
	sending   sending
	// bodyFaults takes what ReverseProxy has to say while it copies a body. By then
	// the header is out: the connection is cut, and the request's line says why.
	bodyFaults *log.Logger
}

// New returns a Proxy.
func New(o Options) *Proxy {
	faults, err := zap.NewStdLogAt(o.Log, zap.DebugLevel)
	if err != nil {
		panic("proxy: the debug level is a level: " + err.Error())
	}
	p := &Proxy{
		Options: o, cache: o.Cache, index: o.Cache.Index(), origins: make(map[string]*origin, len(o.Origins)), pseudonym: newPseudonym(),
		sending:   sending{held: make(map[digest.Digest]*sent)},
		documents: semaphore.NewWeighted(maxHeld), bodyFaults: faults,
	}
	for _, one := range o.Origins {
		p.origins[one.Upstream.Name()] = p.newOrigin(one)
	}
	for _, r := range o.Routes.Routes() {
		if p.origins[r.Upstream] == nil {
			panic("proxy: " + r.Name + " leads to upstream " + r.Upstream + ", which is none of Origins")
		}
	}
	return p
}

// Close ends background work. Requests under way must have ended.
func (p *Proxy) Close() error {
	for _, o := range p.origins {
		o.life.End()
	}
	return nil
}

// Behind returns the registry as the clients of one listener see it: those that its
// gate lets in. The route named usual is meant where a request names none; "" is none.
// It is the road of the package's doc.
func (p *Proxy) Behind(gate *access.Gate, usual string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := p.begin(gate, usual, w, r)
		defer x.end() // also while http.ErrAbortHandler passes, which cuts a body short on purpose
		if err := x.pull(); err != nil {
			x.refuse(err)
		}
	})
}

func (x *exchange) pull() error {
	if base, ok := withoutSlash(x.r.URL); ok {
		// A proxy in front of Harbor redirects this to its own port; we to ours.
		x.w.Header().Set("Location", base)
		x.w.WriteHeader(http.StatusMovedPermanently)
		return nil
	}
	if x.r.Header.Get("Upgrade") != "" {
		return registry.Errorf(http.StatusBadRequest, registry.CodeUnsupported, "this connection is not upgraded to another protocol: send the request without Upgrade")
	}
	var err error
	if x.written, err = registry.Parse(x.r.Method, x.r.URL); err != nil {
		return err
	}
	x.request = x.written
	if !x.request.Kind.Reads() {
		return registry.Errorf(http.StatusMethodNotAllowed, registry.CodeUnsupported, "this registry is for pulling only: push to the registry that it stands in front of")
	}
	if err := x.admit(); err != nil {
		var refusal *access.Refusal
		if !errors.As(err, &refusal) {
			err = whyOf(x.ctx, err) // of a wait that ended, say why
		}
		return err
	}
	if err := x.takeChain(); err != nil {
		return err
	}
	switch x.request.Kind {
	case registry.KindBase:
		return x.base()
	case registry.KindManifest:
		return x.manifest()
	case registry.KindBlob:
		return x.blob()
	case registry.KindCatalog:
		return x.catalog()
	case registry.KindReferrers:
		if served, err := x.noReferrers(); served {
			return err
		}
	}
	x.forward()
	return nil
}

// withoutSlash recognises end-1 without its slash, and tells where that is.
func withoutSlash(u *url.URL) (base string, ok bool) {
	path := u.EscapedPath()
	if !strings.HasSuffix(path, "/v2") {
		return "", false
	}
	request, err := registry.Parse(http.MethodGet, &url.URL{Path: path + "/"})
	if err != nil || request.Kind != registry.KindBase {
		return "", false
	}
	return request.Here().Path, true
}

// admit lets in whom the listener's gate lets in, to what it may pull, held or not: a
// digest is not a permission. Where the request leads is told only to them.
func (x *exchange) admit() error {
	var err error
	if x.client, err = x.gate.Authenticate(x.ctx, x.r); err != nil {
		return err
	}
	misrouted := x.find()
	err = x.gate.Authorise(x.ctx, x.client, x.request.Kind, x.wanted())
	var refusal *access.Refusal
	x.proven = err == nil || errors.As(err, &refusal) && (refusal.Why == access.NotAllowed || refusal.Why == access.NotGranted)
	switch {
	case err != nil:
		return err
	case misrouted != nil:
		return misrouted
	case x.request.Kind == registry.KindBase:
		return nil // costs nothing
	}
	x.leave, err = x.gate.Enter(x.ctx, x.client)
	return err
}

// base answers end-1, of which only the status says something: that this is a
// registry. Upstream is not asked, so that what is held can be pulled without it.
func (x *exchange) base() error {
	x.w.Header().Set("Content-Type", "application/json")
	return x.serve(blobcache.Bytes("{}"))
}

// buffers lends copy buffers to ReverseProxy.
type buffers struct{ pool sync.Pool }

const bufferSize = 64 << 10

// Get implements [httputil.BufferPool].
func (b *buffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buffer[:]
	}
	return new([bufferSize]byte)[:]
}

// Put implements [httputil.BufferPool].
func (b *buffers) Put(buffer []byte) { b.pool.Put((*[bufferSize]byte)(buffer)) }
