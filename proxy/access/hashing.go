package access

import (
	"context"
	"net/netip"
	"runtime"
	"sync"
)

// How many password checks may wait: what is above is turned away unhashed. A hash
// takes a processor for 50 ms (bcrypt's cost 10) to 250 ms (cost 12).
const (
	mostWaiting         = 64 // of all
	mostOfNeighbourhood = 8  // waiting or under way: who comes from elsewhere waits for no more than these
)

// hashing is the queue of those whose password is to be hashed. Half of the
// processors do it, so that the other half goes on serving who is known.
type hashing struct {
	slots chan struct{} // one for each hash under way; those who wait are let in in turn

	mu              sync.Mutex // guards the rest
	inside          int        // waiting, or being hashed
	ofNeighbourhood map[netip.Prefix]int
	pairs           map[pair]struct{} // of these, one each: a guess is counted before the next
}

func newHashing() *hashing {
	return &hashing{
		slots:           make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		ofNeighbourhood: make(map[netip.Prefix]int),
		pairs:           make(map[pair]struct{}),
	}
}

// enter joins the queue, if there is room; then leave must be called.
func (h *hashing) enter(from netip.Addr, username string) (leave func(), ok bool) {
	who := pairOf(from, username)
	h.mu.Lock()
	defer h.mu.Unlock()
	_, already := h.pairs[who]
	if already || h.ofNeighbourhood[who.from] >= mostOfNeighbourhood || h.inside >= cap(h.slots)+mostWaiting {
		return nil, false
	}
	h.inside++
	h.ofNeighbourhood[who.from]++
	h.pairs[who] = struct{}{}
	return func() { h.leave(who) }, true
}

func (h *hashing) leave(who pair) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inside--
	if h.ofNeighbourhood[who.from]--; h.ofNeighbourhood[who.from] == 0 {
		delete(h.ofNeighbourhood, who.from)
	}
	delete(h.pairs, who)
}

// begin waits for a processor; after a nil error end must be called. The error is
// ctx's own.
func (h *hashing) begin(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *hashing) end() { <-h.slots }
