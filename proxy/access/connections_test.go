package access

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// guardedServer is an http server that a gate guards, and tells when a connection has
// ended.
type guardedServer struct {
	*httptest.Server
	ended chan struct{}
}

func startGuarded(t *testing.T, g *Gate, start func(*httptest.Server)) *guardedServer {
	t.Helper()
	s := &guardedServer{ended: make(chan struct{}, 100)}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Proto)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // a handshake on a closed connection fails
	s.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		g.ConnState(conn, state)
		if state == http.StateClosed {
			s.ended <- struct{}{}
		}
	}
	start(s.Server)
	t.Cleanup(s.Close)
	return s
}

// connect asks on a new connection, which stays open until it is closed.
func (s *guardedServer) connect(t *testing.T) (proto string, closeIdle func(), err error) {
	t.Helper()
	settings := &tls.Config{RootCAs: x509.NewCertPool()}
	if certificate := s.Certificate(); certificate != nil {
		settings.RootCAs.AddCert(certificate)
	}
	transport := &http.Transport{TLSClientConfig: settings, ForceAttemptHTTP2: s.EnableHTTP2}
	resp, err := (&http.Client{Transport: transport}).Get(s.URL)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), transport.CloseIdleConnections, err
}

// Over plain connections, over TLS, and over HTTP/2: a connection too many is closed,
// and one that ends makes room for another.
func TestConnectionsOfOneAddress(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){
		"HTTP/1.1":           (*httptest.Server).Start,
		"HTTP/1.1, with TLS": (*httptest.Server).StartTLS,
		"HTTP/2.0":           func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() },
	} {
		t.Run(name, func(t *testing.T) {
			g, events := limitedGate(Limits{Connections: 3, AddressPulls: 1, SubjectPulls: 1})
			server := startGuarded(t, g, start)
			var closes []func()
			connect := func() {
				t.Helper()
				proto, closeIdle, err := server.connect(t)
				if err != nil {
					t.Fatal(err)
				}
				if proto != name[:len(proto)] {
					t.Errorf("by %s", proto)
				}
				closes = append(closes, closeIdle)
			}
			for range 3 {
				connect()
			}
			for range 2 {
				if _, _, err := server.connect(t); err == nil {
					t.Error("a fourth connection was served")
				}
				<-server.ended
			}
			if got := events.of(TooManyConnects); got != 2 {
				t.Errorf("%d connections were counted as too many, want 2", got)
			}
			closes[0]()
			<-server.ended
			connect()
			for _, closeIdle := range closes[1:] {
				closeIdle()
				<-server.ended
			}
			g.expectIdle(t)
		})
	}
}

// Each connection is given back once, however the server came to know of its end, and
// one that was not let in not at all.
func TestConnectionsAreGivenBackOnce(t *testing.T) {
	g, events := limitedGate(Limits{Connections: 2, AddressPulls: 1, SubjectPulls: 1})
	conns := make([]*fakeConn, 3)
	for i := range conns {
		conns[i] = &fakeConn{from: "192.0.2.1:1000"}
		g.ConnState(conns[i], http.StateNew)
		g.ConnState(conns[i], http.StateActive)
	}
	if closed := []bool{conns[0].closed, conns[1].closed, conns[2].closed}; !slices.Equal(closed, []bool{false, false, true}) {
		t.Fatalf("closed: %v", closed)
	}
	g.ConnState(conns[2], http.StateClosed) // was not let in
	late := &fakeConn{from: "192.0.2.1:1000"}
	g.ConnState(late, http.StateNew)
	if !late.closed {
		t.Error("the one that was closed gave back a place that it did not have")
	}
	g.ConnState(conns[0], http.StateClosed)
	g.ConnState(conns[0], http.StateClosed)
	g.ConnState(conns[1], http.StateHijacked)
	g.expectIdle(t)
	if got := events.of(TooManyConnects); got != 2 {
		t.Errorf("%d were counted, want 2", got)
	}
}

func TestWhoseConnectionsAreCountedTogether(t *testing.T) {
	for _, test := range []struct {
		first, second string
		together      bool
	}{
		{"192.0.2.1:1000", "192.0.2.1:1001", true},
		{"192.0.2.1:1000", "192.0.2.2:1000", false},
		{"192.0.2.1:1000", "[::ffff:192.0.2.1]:1000", true},
		{"[2001:db8::1]:1000", "[2001:db8::2]:1000", true},
		{"[2001:db8::1]:1000", "[2001:db8:0:1::1]:1000", false},
		{"[fe80::1%eth0]:1000", "[fe80::1%eth1]:1000", true},
		{"pipe", "pipe", false},
		{"@", "@", false}, // of a Unix socket
	} {
		g, _ := limitedGate(Limits{Connections: 1, AddressPulls: 1, SubjectPulls: 1})
		first, second := &fakeConn{from: test.first}, &fakeConn{from: test.second}
		g.ConnState(first, http.StateNew)
		g.ConnState(second, http.StateNew)
		if first.closed || second.closed != test.together {
			t.Errorf("%s and %s: closed %v and %v, want the second: %v", test.first, test.second, first.closed, second.closed, test.together)
		}
	}
}

// Whoever connects without end fills no log: one line a second says so.
func TestConnectionFloodInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, lines := observer.New(zapcore.InfoLevel)
		events := newCounted()
		g := New(Options{Listener: ":5000", Mode: NewAnonymous(nil), Limits: Limits{Connections: 1, AddressPulls: 1, SubjectPulls: 1}, Events: events, Log: zap.New(core)})
		g.ConnState(&fakeConn{from: "192.0.2.1:1000"}, http.StateNew)
		for range 3 {
			for range 1000 {
				g.ConnState(&fakeConn{from: "192.0.2.1:1001"}, http.StateNew)
			}
			time.Sleep(time.Second)
		}
		if got := events.of(TooManyConnects); got != 3000 {
			t.Errorf("%d were counted, want 3000", got)
		}
		if lines.Len() != 3 {
			t.Fatalf("%d lines, want 3", lines.Len())
		}
		fields := lines.All()[0].ContextMap()
		if fields["listener"] != ":5000" || fields["client"] != "192.0.2.1" || fields["refused"] != "too_many_connections" {
			t.Errorf("%v", fields)
		}
	})
}

func TestManyConnectionsAtOnce(t *testing.T) {
	g, events := limitedGate(Limits{Connections: 10, AddressPulls: 1, SubjectPulls: 1})
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			for range 100 {
				conn := &fakeConn{from: "192.0.2.1:1000"}
				g.ConnState(conn, http.StateNew)
				g.ConnState(conn, http.StateClosed)
			}
		})
	}
	all.Wait()
	g.expectIdle(t)
	if events.of(TooManyConnects) == 50*100 {
		t.Error("nobody was let in")
	}
}

// fakeConn is a connection of which only the address and the end matter.
type fakeConn struct {
	net.Conn
	from   string
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr { return fakeAddr(c.from) }

func (c *fakeConn) Close() error {
	c.closed = true
	return nil
}

type fakeAddr string

func (a fakeAddr) Network() string { return "tcp" }
func (a fakeAddr) String() string  { return string(a) }
