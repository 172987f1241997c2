package proxy

import (
	"log"
	"net/http"
	"net/url"
	"sync"
	"time"

	"breakwater/proxy/registry"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
)

// Events are what a Proxy tells metrics of.
type Events interface {
	// RequestBegan and RequestServed frame each request.
	RequestBegan()
	RequestServed(Served)
	// DigestMismatch counts content from upstream that is not what its digest
	// says, by kind ("manifest", "blob"). No client got it whole.
	DigestMismatch(upstream, kind string)
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

// Upstream is where requests are forwarded to: [breakwater/proxy/upstream.Client].
type Upstream interface {
	Name() string
	URL() *url.URL
	// Reading returns the RoundTripper for one read.
	Reading(registry.Request) http.RoundTripper
}

// Options of a [Proxy]; all are required.
type Options struct {
	Upstream  Upstream
	UserAgent string // sent upstream: "breakwater/1.2.3"
	Events    Events
	Log       *zap.Logger
}

// Proxy is the registry that clients see.
type Proxy struct {
	Options
	buffers buffers
	// documents counts the bytes of manifests and lists in memory, up to maxHeld.
	documents *semaphore.Weighted
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
	return &Proxy{Options: o, documents: semaphore.NewWeighted(maxHeld), bodyFaults: faults}
}

// ServeHTTP implements [http.Handler]. It is the road of the package's doc.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := p.begin(w, r)
	defer x.end() // also while http.ErrAbortHandler passes, which cuts a body short on purpose
	if err := x.serve(); err != nil {
		x.refuse(err)
	}
}

func (x *exchange) serve() error {
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
	x.forward()
	return nil
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
