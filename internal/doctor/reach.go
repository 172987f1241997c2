package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"breakwater/internal/redact"

	"breakwater/proxy/upstream"
)

const connectLimit = 5 * time.Second

// watch notes what happens below one request. Its methods are called by the
// transport's goroutines, which may outlive the request.
type watch struct {
	mu   sync.Mutex // guards all below
	seen connection
}

// connection is how far the way to upstream was open.
type connection struct {
	dialled bool
	remote  net.Addr
	took    time.Duration
	dialErr error

	secured *tls.ConnectionState
	tlsErr  error
}

func (w *watch) note(f func(*connection)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.seen)
}

func (w *watch) connection() connection {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

type watchKey struct{}

// newTransport reaches upstream as its Client does, and shows what it met.
func newTransport(u Upstream) *http.Transport {
	dialer := &net.Dialer{Timeout: connectLimit}
	return &http.Transport{
		Proxy:                  u.Proxy,
		TLSClientConfig:        u.TLS.Clone(),
		TLSHandshakeTimeout:    connectLimit,
		MaxResponseHeaderBytes: 64 << 10,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			began := time.Now()
			conn, err := dialer.DialContext(ctx, network, address)
			if w, ok := ctx.Value(watchKey{}).(*watch); ok {
				w.note(func(c *connection) {
					c.dialled, c.dialErr, c.took = true, err, time.Since(began)
					if err == nil {
						c.remote = conn.RemoteAddr()
					}
				})
			}
			return conn, err
		},
	}
}

// answer is what upstream said to GET /v2/ (end-1) without credentials.
type answer struct {
	status int
	header http.Header
}

// reach asks GET /v2/ without credentials, which takes name, connection and
// TLS. It prints the steps until an answer is there and reports whether one is.
func (v *visit) reach(ctx context.Context) (answer, bool) {
	ctx, cancel := step(ctx)
	defer cancel()
	w := &watch{}
	watched := httptrace.WithClientTrace(context.WithValue(ctx, watchKey{}, w), &httptrace.ClientTrace{
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			w.note(func(c *connection) { c.secured, c.tlsErr = &state, err })
		},
	})
	req, err := v.request(watched, http.MethodGet, "/v2/")
	if err != nil {
		v.Fail("address", err.Error(), "")
		return answer{}, false
	}
	via, err := v.Proxy(req)
	if err != nil {
		v.Fail("address", "the proxy of the environment cannot be read: "+withoutURL(err), "mend HTTPS_PROXY or HTTP_PROXY")
		return answer{}, false
	}
	resp, err := v.transport.RoundTrip(req)
	if err == nil {
		defer upstream.Drop(resp)
	}
	met := w.connection()
	if !v.address(met, via, err) || !v.security(met, err) {
		v.skip("the rest", "there is no connection")
		return answer{}, false
	}
	if err != nil {
		v.Fail("challenge", "the connection is there, but no answer to GET /v2/ came: "+withoutURL(err),
			"look at what stands at this address, and at its log")
		v.skip("the rest", "there is no answer")
		return answer{}, false
	}
	return answer{resp.StatusCode, resp.Header}, true
}

// request builds one without credentials.
func (v *visit) request(ctx context.Context, method, path string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, v.URL.JoinPath(path).String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", v.UserAgent)
	return req, nil
}

// address prints how the connection was made, or why not.
func (v *visit) address(met connection, via *url.URL, err error) bool {
	host, todo := v.URL.Hostname(), "look at url, and at firewalls between here and there"
	if via != nil {
		host = via.Hostname()
		todo = "look at HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment"
	}
	var unresolved *net.DNSError
	switch {
	case met.dialErr == nil && met.remote != nil:
	case errors.As(met.dialErr, &unresolved):
		v.Fail("address", fmt.Sprintf("the name %s cannot be resolved: %s", host, unresolved.Err), "look at the name in url, and at the resolver here")
		if via != nil {
			v.Note("address", "the way leads through the proxy "+redact.URL(via))
		}
		return false
	case errors.Is(met.dialErr, syscall.ECONNREFUSED):
		v.Fail("address", host+" refuses the connection: nothing listens on that port", todo)
		return false
	default:
		reason := met.dialErr
		if reason == nil {
			reason = err
		}
		v.Fail("address", fmt.Sprintf("no connection to %s: %s", host, withoutURL(reason)), todo)
		return false
	}
	connected := fmt.Sprintf("connected to %s in %s", met.remote, took(met.took))
	if via == nil {
		v.OK("address", connected)
		return true
	}
	connected += ", the proxy " + redact.URL(via)
	if v.URL.Scheme == "https" && err != nil && met.secured == nil {
		v.Fail("address", connected+", which does not connect to upstream: "+withoutURL(err), todo)
		return false
	}
	v.OK("address", connected)
	return true
}

// withoutURL is the error's innermost text: what stands around it repeats
// addresses that the line names already.
func withoutURL(err error) string {
	var operation *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "no answer in time"
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.As(err, &operation):
		return operation.Err.Error()
	}
	return strings.TrimPrefix(err.Error(), "net/http: ")
}

func isTimeout(err error) bool {
	var late interface{ Timeout() bool }
	return errors.As(err, &late) && late.Timeout()
}

// took prints a duration as an operator compares it.
func took(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", max(d.Milliseconds(), 1))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
