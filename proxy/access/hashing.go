package access

import (
	"context"
	"net/netip"
	"runtime"
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
	slots  chan struct{}        // one for each hash under way; those who wait are let in in turn
	inside *tally[netip.Prefix] // waiting, or being hashed
	pairs  *tally[pair]         // of these, one each: a guess is counted before the next
}

func newHashing() *hashing {
	slots := max(1, runtime.GOMAXPROCS(0)/2)
	return &hashing{
		slots:  make(chan struct{}, slots),
		inside: newTally[netip.Prefix](mostOfNeighbourhood, slots+mostWaiting),
		pairs:  newTally[pair](1, slots+mostWaiting),
	}
}

// enter joins the queue, if there is room; then leave must be called.
func (h *hashing) enter(from netip.Addr, username string) (leave func(), ok bool) {
	who := pairOf(from, username)
	if !h.pairs.add(who) {
		return nil, false
	}
	if !h.inside.add(who.from) {
		h.pairs.remove(who)
		return nil, false
	}
	return func() {
		h.inside.remove(who.from)
		h.pairs.remove(who)
	}, true
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
