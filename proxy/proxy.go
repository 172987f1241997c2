package proxy

import (
	"context"
	"errors"
	"hash/maphash"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"breakwater/blobcache"
	"breakwater/blobcache/index"
	"breakwater/internal/flight"
	"breakwater/proxy/access"
	"breakwater/proxy/registry"
	"breakwater/tokencache"

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
	Route  string // the upstream's name; "" when the request was refused before one was chosen
	Kind   string // [registry.Kind]
	Method string
	Status int // 499 when the client left before it got an answer
	Cache  string
	Bytes  int64 // of the body
	Took   time.Duration
}

// Upstream is who is asked: [breakwater/proxy/upstream.Client].
type Upstream interface {
	Name() string
	URL() *url.URL
	// Reading returns the RoundTripper for one read.
	Reading(registry.Request) http.RoundTripper
	// Grant asks the token service what our account may do now.
	Grant(context.Context, tokencache.Scope) (tokencache.Grant, error)
	// Distrust drops the token that is held for a right that was found to be gone.
	Distrust(tokencache.Scope)
	// Exchanged tells as of when a right is proven by the token that is held.
	Exchanged(tokencache.Scope) time.Time
}

// Options of a [Proxy]; all are required.
type Options struct {
	Upstream  Upstream
	Cache     *blobcache.Cache
	Policy    Policy
	UserAgent string // sent upstream: "breakwater/1.2.3"
	Events    Events
	Log       *zap.Logger
}

// Proxy is the registry that clients see. Close ends what it does in the
// background.
type Proxy struct {
	Options
	cache  *blobcache.Cache
	index  *index.Index
	origin string // upstream's, as links name it

	life       *flight.Life
	background *background // questions
	accesses   *background // questions whether our account may pull
	completing *background // transfers that nobody waits for
	checks     *flight.Group[tagKey, checked]
	proofs     *flight.Group[pair, proof]
	fetches    *flight.Group[pair, fetched]
	suspicions suspicions
	turns      *semaphore.Weighted // for questions that refusals cause

	refused     *recent[error]    // by tag or digest of a repository
	referrers   *recent[list]     // empty lists, by path and query
	accessAsked *recent[struct{}] // by repository
	reported    *recent[struct{}] // by manifest of a repository
	touched     *recent[struct{}] // by manifest
	listed      *recent[string]   // platform by an index's manifest
	platforms   *recent[struct{}] // that clients asked for
	seed        maphash.Seed      // spreads pull reports

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
	life := flight.NewLife()
	return &Proxy{
		Options: o, cache: o.Cache, index: o.Cache.Index(), origin: originOf(o.Upstream.URL()),
		life: life, background: newBackground(life), accesses: newBackground(life), completing: newBackground(life),
		checks:     flight.NewGroup[tagKey, checked](life),
		proofs:     flight.NewGroup[pair, proof](life),
		fetches:    flight.NewGroup[pair, fetched](life),
		suspicions: suspicions{held: make(map[suspicion]struct{}), revoked: make(map[index.Repository]struct{})}, turns: semaphore.NewWeighted(askingAtOnce),
		refused: newRecent[error](), referrers: newRecent[list](),
		accessAsked: newRecent[struct{}](), reported: newRecent[struct{}](), touched: newRecent[struct{}](),
		listed: newRecent[string](), platforms: newRecent[struct{}](), seed: maphash.MakeSeed(),
		sending:   sending{held: make(map[digest.Digest]*sent)},
		documents: semaphore.NewWeighted(maxHeld), bodyFaults: faults,
	}
}

// Close ends background work. Requests under way must have ended.
func (p *Proxy) Close() error {
	p.life.End()
	return nil
}

// originOf writes scheme, host and port, the port always, so that one upstream has
// one name.
func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
	}
	return strings.ToLower(u.Scheme) + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// Behind returns the registry as the clients of one listener see it: those that its
// gate lets in. It is the road of the package's doc.
func (p *Proxy) Behind(gate *access.Gate) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := p.begin(gate, w, r)
		defer x.end() // also while http.ErrAbortHandler passes, which cuts a body short on purpose
		if err := x.pull(); err != nil {
			x.refuse(err)
		}
	})
}

func (x *exchange) pull() error {
	switch {
	case x.r.URL.Path == "/v2":
		// A proxy in front of Harbor redirects this to its own port; we to ours.
		x.w.Header().Set("Location", "/v2/")
		x.w.WriteHeader(http.StatusMovedPermanently)
		return nil
	case x.r.Header.Get("Upgrade") != "":
		return registry.Errorf(http.StatusBadRequest, registry.CodeUnsupported, "this connection is not upgraded to another protocol: send the request without Upgrade")
	}
	request, err := registry.Parse(x.r.Method, x.r.URL)
	if err != nil {
		return err
	}
	x.request = request
	if !request.Kind.Reads() {
		return registry.Errorf(http.StatusMethodNotAllowed, registry.CodeUnsupported, "this registry is for pulling only: push to the registry that it stands in front of")
	}
	if err := x.admit(); err != nil {
		var refusal *access.Refusal
		if !errors.As(err, &refusal) {
			err = whyOf(x.ctx, err) // of a wait that ended, say why
		}
		return err
	}
	switch request.Kind {
	case registry.KindBase:
		return x.base()
	case registry.KindManifest:
		return x.manifest()
	case registry.KindBlob:
		return x.blob()
	case registry.KindReferrers:
		if served, err := x.noReferrers(); served {
			return err
		}
	case registry.KindCatalog:
		if !x.gate.Unrestricted(x.client) {
			return x.catalog()
		}
	}
	x.forward()
	return nil
}

// admit lets in whom the listener's gate lets in, to what it may pull, held or not: a
// digest is not a permission.
func (x *exchange) admit() error {
	var err error
	if x.client, err = x.gate.Authenticate(x.ctx, x.r); err != nil {
		return err
	}
	if x.request.Kind == registry.KindBase {
		x.proven = true
		return nil // costs nothing
	}
	err = x.gate.Authorise(x.ctx, x.client, x.request)
	var refusal *access.Refusal
	x.proven = err == nil || errors.As(err, &refusal) && (refusal.Why == access.NotAllowed || refusal.Why == access.NotGranted)
	if err != nil {
		return err
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
