package access

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A wrong password of a user makes Harbor refuse the right one, wherever it comes
// from, for 1.5 s. So of one user name one login is asked about at a time.
const (
	// laneRest is how long after a no the next question waits.
	laneRest = 2 * time.Second
	// mostInLane bounds the unknown logins that wait behind another one of that name.
	mostInLane = 4
)

var errLaneFull = errors.New("as many unknown passwords of this user name as may wait are waiting")

// lanes are those of the user names of which somebody is being asked about: no more
// than there are trials, and logins that were accepted lately.
type lanes struct {
	mu sync.Mutex // guards of, and each lane
	of map[string]*lane
}

// lane is a user name's while its turn is taken.
type lane struct {
	known, unknown []*waiter // in order
}

// waiter is given its turn by closing.
type waiter struct {
	from netip.Prefix
	turn chan struct{}
}

func newLanes() *lanes { return &lanes{of: make(map[string]*lane)} }

// enter waits for the name's turn; after a nil error leave must be called. Logins that
// were accepted lately go first: no number of guesses keeps them waiting for more than
// one. Of the others one of each neighbourhood may wait. The error is ctx's own or
// errLaneFull.
func (l *lanes) enter(ctx context.Context, name string, from netip.Prefix, known bool) (leave func(), err error) {
	l.mu.Lock()
	taken, ok := l.of[name]
	if !ok {
		l.of[name] = new(lane)
		l.mu.Unlock()
		return func() { l.leave(name) }, nil
	}
	waits := func(w *waiter) bool { return w.from == from }
	if !known && (len(taken.unknown) >= mostInLane || slices.ContainsFunc(taken.unknown, waits)) {
		l.mu.Unlock()
		return nil, errLaneFull
	}
	queue := &taken.unknown
	if known {
		queue = &taken.known
	}
	mine := &waiter{from, make(chan struct{})}
	*queue = append(*queue, mine)
	l.mu.Unlock()

	select {
	case <-mine.turn:
		return func() { l.leave(name) }, nil
	case <-ctx.Done():
		l.giveUp(name, queue, mine)
		return nil, ctx.Err()
	}
}

// leave gives the turn to the next.
func (l *lanes) leave(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.of[name]
	for _, queue := range []*[]*waiter{&taken.known, &taken.unknown} {
		if len(*queue) > 0 {
			close((*queue)[0].turn)
			*queue = (*queue)[1:]
			return
		}
	}
	delete(l.of, name)
}

// giveUp is for who waits no more, or got the turn that very moment.
func (l *lanes) giveUp(name string, queue *[]*waiter, mine *waiter) {
	l.mu.Lock()
	i := slices.Index(*queue, mine)
	if i >= 0 {
		*queue = slices.Delete(*queue, i, i+1)
	}
	l.mu.Unlock()
	if i < 0 {
		l.leave(name)
	}
}

// converse asks about a login, known if it was accepted lately, in the turn of its user
// name.
func (h *Harbor) converse(ctx context.Context, l login, repositories []string, known bool) (map[string]bool, error) {
	if known {
		leave, err := h.ofKnown.enter(ctx, l.print)
		switch {
		case errors.Is(err, errLineFull):
			return nil, tooManyLogins(err)
		case err != nil:
			return nil, err
		}
		defer leave()
		if l.robot() {
			return h.judge(ctx, l, repositories, known)
		}
	}
	leave, err := h.lanes.enter(ctx, l.account(), neighbourhood(l.from), known)
	switch {
	case errors.Is(err, errLaneFull):
		return nil, &turnedAway{neighbourhood(l.from), tooManyLogins(err)}
	case err != nil:
		return nil, err
	}
	if _, since := h.known.get(l.print); since && !known {
		leave()
		return nil, nil // found out while it waited
	}
	if err := h.meanwhile(l, known); err != nil {
		leave()
		return nil, err
	}
	if !known {
		ctx = h.life.Context() // a guess is heard to its end and counted, also if its client does not wait for that
	}
	found, err := h.judge(ctx, l, repositories, known)
	if l.robot() || !saidNo(err, known) || !h.rest(leave) {
		leave()
	}
	return found, err
}

// saidNo tells whether Harbor may refuse the right password of that name for a while:
// also where a guess was given up before its answer, but not where it was silent to
// somebody who is known.
func saidNo(err error, known bool) bool {
	refusal, ok := errors.AsType[*Refusal](err)
	return err != nil && !known || ok && refusal.Why == BadCredentials || errors.Is(err, errPassing) || errors.Is(err, errNobody)
}

// meanwhile is what turns a login away that waited for its turn.
func (h *Harbor) meanwhile(l login, known bool) error {
	if refusal, ok := h.refused.get(l.print); ok {
		return refusal
	}
	if known {
		return nil
	}
	return h.slowedDown(l) // each guess is counted before the next is made
}

// rest leaves a lane after a while.
func (h *Harbor) rest(leave func()) bool {
	return h.life.Start(func() {
		_ = sleep(h.life.Context(), laneRest) // Close cuts it short
		leave()
	})
}

// sleep is cut short by ctx, whose error it then returns.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
