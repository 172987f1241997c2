package access

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/semaphore"
)

// Limits are how much of one listener a client may keep busy. All are above zero.
type Limits struct {
	// Connections of one address (IPv6: /64) that may be open at once.
	Connections int
	// AddressPulls and SubjectPulls are the requests for content of one address, and
	// of one subject wherever it comes from, that may be under way at once. What is
	// above waits.
	AddressPulls int
	SubjectPulls int
}

// limits is what clients keep busy now.
type limits struct {
	connections connections
	subjects    shares[string]
	addresses   shares[netip.Prefix]
}

func newLimits(l Limits) *limits {
	return &limits{
		connections: connections{of: newTally[netip.Prefix](l.Connections, math.MaxInt), open: make(map[net.Conn]netip.Prefix)},
		subjects:    shares[string]{most: l.SubjectPulls, of: make(map[string]*share)},
		addresses:   shares[netip.Prefix]{most: l.AddressPulls, of: make(map[netip.Prefix]*share)},
	}
}

// Enter waits until neither the client's address nor its subject has as many requests
// under way as it may have, first come, first served. leave must be called once the
// answer is out. The error is a [*Refusal], counted here, once the request's time is
// over, and ctx's own if the client left before.
//
// The subject's turn comes first: whoever waits for it holds nothing that others at
// its address wait for.
func (g *Gate) Enter(ctx context.Context, client Client) (leave func(), err error) {
	leaveSubject := func() {}
	if client.Subject != "" {
		if leaveSubject, err = g.limits.subjects.enter(ctx, client.Subject); err != nil {
			return nil, g.counted(overdue(ctx, later(TooManyAtOnce, 5, fmt.Errorf("waiting for the subject's turn: %w", err),
				"%s has %d requests under way here, and may have no more: try again later", client.Subject, g.Limits.SubjectPulls)))
		}
	}
	leaveAddress, err := g.limits.addresses.enter(ctx, neighbourhood(client.Address))
	if err != nil {
		leaveSubject()
		return nil, g.counted(overdue(ctx, later(TooManyAtOnce, 5, fmt.Errorf("waiting for the address's turn: %w", err),
			"your address has %d requests under way here, and may have no more: try again later", g.Limits.AddressPulls)))
	}
	return func() { leaveAddress(); leaveSubject() }, nil
}

// shares are the requests under way of each who has some.
type shares[K comparable] struct {
	most int

	mu sync.Mutex // guards of, and each share's users
	of map[K]*share
}

// share is one's; it is kept while somebody is under way or waits.
type share struct {
	turns *semaphore.Weighted // takes turns in the order in which they were asked for
	users int
}

// mostInLine bounds who waits for a turn of one share: what is above is turned away at
// once, since each holds a connection or a stream, and memory.
const mostInLine = 1024

var errLineFull = errors.New("as many requests as may wait are waiting")

// enter waits for a turn; after a nil error leave must be called. The error is that
// of ctx, or errLineFull.
func (s *shares[K]) enter(ctx context.Context, key K) (leave func(), err error) {
	mine, ok := s.join(key)
	if !ok {
		return nil, errLineFull
	}
	if err := mine.turns.Acquire(ctx, 1); err != nil {
		s.part(key, mine)
		return nil, err
	}
	return func() {
		mine.turns.Release(1)
		s.part(key, mine)
	}, nil
}

func (s *shares[K]) join(key K) (mine *share, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mine, ok = s.of[key]
	if !ok {
		mine = &share{turns: semaphore.NewWeighted(int64(s.most))}
		s.of[key] = mine
	}
	if mine.users >= s.most+mostInLine {
		return nil, false
	}
	mine.users++
	return mine, true
}

func (s *shares[K]) part(key K, mine *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if mine.users--; mine.users == 0 {
		delete(s.of, key)
	}
}

// ConnState is for [http.Server.ConnState]. It closes at once, before a handshake and
// any request, what one address has too many of. Connections stay what they are: the
// files that they are sent still take the short way through the kernel.
func (g *Gate) ConnState(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		if !g.limits.connections.add(conn) {
			g.Events.ClientRefused(g.Listener, TooManyConnects)
			g.connectionLog.Warn("refused", zap.String("listener", g.Listener), zap.Stringer("client", parseAddress(conn.RemoteAddr().String())),
				zap.String("refused", string(TooManyConnects)), zap.Int("connections", g.Limits.Connections))
			_ = conn.Close() // nothing was sent on it that could be lost
		}
	case http.StateClosed, http.StateHijacked:
		g.limits.connections.remove(conn)
	}
}

// seldom lets one line a second through: whoever opens connections without end is not
// to fill the log.
func seldom(log *zap.Logger) *zap.Logger {
	if log == nil {
		return zap.NewNop()
	}
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Second, 1, 0)
	}))
}

// connections are the open ones.
type connections struct {
	of *tally[netip.Prefix]

	mu   sync.Mutex // guards open
	open map[net.Conn]netip.Prefix
}

// add tells whether its address may have one more connection. One without an IP
// address, such as a test's, is not held apart.
func (c *connections) add(conn net.Conn) bool {
	from := neighbourhood(parseAddress(conn.RemoteAddr().String()))
	if !from.IsValid() {
		return true
	}
	if !c.of.add(from) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = from
	return true
}

// remove forgets a connection that was let in; others are none of ours.
func (c *connections) remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from, ok := c.open[conn]
	if !ok {
		return
	}
	delete(c.open, conn)
	c.of.remove(from)
}
