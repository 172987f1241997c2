package access

import (
	"context"
	"errors"
	"net/netip"

	"golang.org/x/sync/semaphore"
)

// How many unknown logins Harbor is asked about at once, and how many may wait for
// that: a robot's right one takes it 20 ms, a wrong one 3 s.
const (
	mostTrials                = 16
	mostTrialsOfNeighbourhood = 4
	mostTrialsWaiting         = 1024
	mostTrialsWaitingOfOne    = 64 // neighbourhood: a cluster behind one address
	// mostOfKnown bounds the questions at once about a login that is known: whoever has
	// one could otherwise name projects without end.
	mostOfKnown = 4
)

var errTooManyTrials = errors.New("as many unknown logins as may wait are waiting, of all or of that address")

// trials are the unknown logins that wait, or are asked about.
type trials struct {
	inside          *tally[netip.Prefix] // waiting, or asked about
	ofNeighbourhood shares[netip.Prefix]
	all             *semaphore.Weighted
}

func newTrials() *trials {
	return &trials{
		inside:          newTally[netip.Prefix](mostTrialsWaitingOfOne, mostTrialsWaiting),
		ofNeighbourhood: shares[netip.Prefix]{most: mostTrialsOfNeighbourhood, of: make(map[netip.Prefix]*share)},
		all:             semaphore.NewWeighted(mostTrials),
	}
}

// enter waits for a turn; after a nil error leave must be called. The error is ctx's
// own or errTooManyTrials.
func (t *trials) enter(ctx context.Context, from netip.Prefix) (leave func(), err error) {
	if !t.inside.add(from) {
		return nil, errTooManyTrials
	}
	leaveNeighbourhood, err := t.ofNeighbourhood.enter(ctx, from)
	if err != nil {
		t.inside.remove(from)
		return nil, err
	}
	if err := t.all.Acquire(ctx, 1); err != nil {
		leaveNeighbourhood()
		t.inside.remove(from)
		return nil, err
	}
	return func() {
		t.all.Release(1)
		leaveNeighbourhood()
		t.inside.remove(from)
	}, nil
}

// turnedAway is a refusal for what came from the neighbourhood of who began a trial.
type turnedAway struct {
	from    netip.Prefix
	refusal *Refusal
}

func (t *turnedAway) Error() string { return t.refusal.Error() }

// try asks about a login that is not known.
func (h *Harbor) try(ctx context.Context, l login, repositories []string) (map[string]bool, error) {
	if _, known := h.known.get(l.print); known {
		return nil, nil // since a moment ago
	}
	if err := h.slowedDown(l); err != nil {
		return nil, err
	}
	leave, err := h.trials.enter(ctx, neighbourhood(l.from))
	switch {
	case errors.Is(err, errTooManyTrials):
		return nil, &turnedAway{neighbourhood(l.from), tooManyLogins(err)}
	case err != nil:
		return nil, err
	}
	defer leave()
	return h.converse(ctx, l, repositories, false)
}

func (h *Harbor) slowedDown(l login) error {
	if refusal := h.attempts.slowedDown(l.from, l.account(), l.whose()); refusal != nil {
		return &turnedAway{neighbourhood(l.from), refusal}
	}
	return nil
}

func tooManyLogins(cause error) *Refusal {
	return later(Busy, 2, cause, "too many logins are being checked just now: try again")
}
