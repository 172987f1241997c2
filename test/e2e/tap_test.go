//go:build e2e

package e2e

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// A tap is a piece of wire between the clients and Breakwater that hears both
// directions: what clients asked, and every byte that they were answered.
type tap struct {
	address  string // where clients connect
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu            sync.Mutex // guards what follows
	conns         map[net.Conn]struct{}
	conversations []*conversation
}

// A conversation is what was said on one connection.
type conversation struct{ requests, answers transcript }

// requests returns all that clients said, connection by connection.
func (wire *tap) requests() string {
	return wire.heard(func(c *conversation) *transcript { return &c.requests })
}

// answers returns all that clients heard, connection by connection.
func (wire *tap) answers() string {
	return wire.heard(func(c *conversation) *transcript { return &c.answers })
}

func (wire *tap) heard(side func(*conversation) *transcript) string {
	wire.mu.Lock()
	defer wire.mu.Unlock()
	var all strings.Builder
	for _, c := range wire.conversations {
		all.WriteString(side(c).String() + "\n")
	}
	return all.String()
}

// newTap starts a tap in front of a TCP address; it is closed with the test.
func newTap(t *testing.T, target string) *tap {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wire := &tap{
		address:  listener.Addr().String(),
		listener: listener,
		target:   target,
		conns:    make(map[net.Conn]struct{}),
	}
	wire.wg.Go(wire.accept)
	t.Cleanup(wire.close)
	return wire
}

func (wire *tap) accept() {
	for {
		client, err := wire.listener.Accept()
		if err != nil {
			return // closed
		}
		wire.wg.Go(func() { wire.relay(client) })
	}
}

// relay copies both directions until both have ended. An error on one of them
// is what either side meant the other to see: a closed connection.
func (wire *tap) relay(client net.Conn) {
	defer wire.forget(client)
	server, err := net.Dial("tcp", wire.target)
	if err != nil {
		return
	}
	defer wire.forget(server)
	var heard conversation
	if !wire.remember(&heard, client, server) {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { pour(io.MultiWriter(server, &heard.requests), client, server) })
	both.Go(func() { pour(io.MultiWriter(client, &heard.answers), server, client) })
	both.Wait()
}

// pour copies one direction and then passes its end on.
func pour(to io.Writer, from, closing net.Conn) {
	_, _ = io.Copy(to, from)
	if half, ok := closing.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// remember keeps what is heard, and the connections to be closed with the tap;
// false after that.
func (wire *tap) remember(c *conversation, conns ...net.Conn) bool {
	wire.mu.Lock()
	defer wire.mu.Unlock()
	if wire.conns == nil {
		return false
	}
	wire.conversations = append(wire.conversations, c)
	for _, conn := range conns {
		wire.conns[conn] = struct{}{}
	}
	return true
}

func (wire *tap) forget(conn net.Conn) {
	wire.mu.Lock()
	delete(wire.conns, conn)
	wire.mu.Unlock()
	_ = conn.Close()
}

// close ends the tap and waits for its connections; it may be called twice.
func (wire *tap) close() {
	if err := wire.listener.Close(); errors.Is(err, net.ErrClosed) {
		return
	}
	wire.mu.Lock()
	for conn := range wire.conns {
		_ = conn.Close()
	}
	wire.conns = nil
	wire.mu.Unlock()
	wire.wg.Wait()
}
