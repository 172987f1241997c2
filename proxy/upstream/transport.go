package upstream

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Limits of the connections to one upstream.
const (
	// controlConns is enough for a herd: a Harbor answers some 200 manifests a
	// second on two cores, so more only queue there instead of here.
	controlConns = 64
	// bodyConns bounds bodies under way; each may last as long as its client
	// is slow.
	bodyConns = 512

	dialTimeout      = 5 * time.Second
	handshakeTimeout = 5 * time.Second
	// A peer that vanished without a word must not be waited for until TCP gives
	// up: HTTP/2 would send every request into the one dead connection.
	pingAfter, pingTimeout = 3 * time.Second, 2 * time.Second
	idleConnTimeout        = 60 * time.Second // below the 75 s after which nginx closes one

	// maxHeaderBytes bounds an answer's header, a token in it included.
	maxHeaderBytes = 64 << 10
)

// transport is an http.Transport that can be exchanged while requests run, when
// a CA bundle or a client certificate changed on disk.
type transport struct {
	build   func(*tls.Config) *http.Transport
	current atomic.Pointer[http.Transport]
}

func newTransport(config *tls.Config, build func(*tls.Config) *http.Transport) *transport {
	t := &transport{build: build}
	t.current.Store(build(config))
	return t
}

// ErrSwitched is the error for a 101 (RFC 9110 §15.2.2), which nobody asked for.
// The connection is closed: net/http would hand it over raw, beyond the reach of
// any context.
var ErrSwitched = errors.New("it wants to switch protocols, which nobody asked for")

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.current.Load().RoundTrip(req)
	if err != nil {
		return nil, withoutContent(err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		_ = resp.Body.Close()
		return nil, ErrSwitched
	}
	return resp, nil
}

// withoutContent replaces the errors in which net/http quotes what it received:
// a header that does not parse may hold a token all the same.
func withoutContent(err error) error {
	if errors.As(err, new(textproto.ProtocolError)) || strings.Contains(err.Error(), "malformed") {
		return errors.New("its answer is not HTTP: a line of it cannot be parsed")
	}
	return err
}

// named is a transport whose errors say which upstream gave no answer, and what
// to do, to whoever prints them: package tokencache has them too.
type named struct {
	*transport
	upstream string
}

func (n named) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := n.transport.RoundTrip(req)
	if err != nil {
		return nil, &UnreachableError{n.upstream, err}
	}
	return resp, nil
}

// reload makes new connections use config. Requests under way finish on the
// old ones.
func (t *transport) reload(config *tls.Config) {
	t.current.Swap(t.build(config)).CloseIdleConnections()
}

func (t *transport) close() { t.current.Load().CloseIdleConnections() }

// proxyFunc tells the egress proxy of a request, as [http.ProxyFromEnvironment].
type proxyFunc func(*http.Request) (*url.URL, error)

// dialControl looks at an address after name resolution, before the connection.
type dialControl func(network, address string, conn syscall.RawConn) error

// builder makes the transports of one way upstream. Bodies go by HTTP/1.1: there
// a slow client costs one connection, which conns bounds, and what the kernel
// buffers for it; over HTTP/2 it would cost megabytes of our own memory.
func builder(conns int, http2 bool, proxy proxyFunc, control dialControl) func(*tls.Config) *http.Transport {
	return func(config *tls.Config) *http.Transport {
		dialer := &net.Dialer{Timeout: dialTimeout, Control: control,
			KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 3 * time.Second, Count: 3}}
		return &http.Transport{
			Proxy:                  proxy,
			DialContext:            dialer.DialContext,
			TLSClientConfig:        config.Clone(),
			TLSHandshakeTimeout:    handshakeTimeout,
			Protocols:              protocols(http2),
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
			MaxConnsPerHost:        conns,
			MaxIdleConnsPerHost:    conns / 4,
			IdleConnTimeout:        idleConnTimeout,
			MaxResponseHeaderBytes: maxHeaderBytes,
			// Digests are of the bytes as stored; nothing may be inflated on the way.
			DisableCompression: true,
		}
	}
}

func protocols(http2 bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(http2)
	return p
}
