// Package flight lets everybody who wants the same thing at the same time wait
// for one piece of work, and gives every goroutine an owner that waits for it.
package flight

import (
	"context"
	"errors"
	"sync"
)

// ErrClosed is what is returned once a [Life] has ended.
var ErrClosed = errors.New("closed")

// A Life owns goroutines.
type Life struct {
	ctx    context.Context // ends with the lifetime; carries no values
	cancel context.CancelFunc

	mu      sync.Mutex // guards closed, so that nothing starts once End waits
	closed  bool
	running sync.WaitGroup
}

// NewLife returns a Life that has not ended.
func NewLife() *Life {
	l := new(Life)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Context ends with the Life; it carries no values.
func (l *Life) Context() context.Context { return l.ctx }

// Start runs work in a goroutine of its own, or returns false once ended.
func (l *Life) Start(work func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.running.Go(work)
	return true
}

// End cancels what runs and waits for it.
func (l *Life) End() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.running.Wait()
}

// A Group holds the flights under way, by key. The work of a flight belongs to no
// waiter: its context carries nobody's values and ends when the last waiter has
// left.
type Group[K comparable, V any] struct {
	life *Life

	mu       sync.Mutex // guards underway and every flight's waiters
	underway map[K]*flight[V]
}

type flight[V any] struct {
	waiters int
	cancel  context.CancelFunc

	done  chan struct{} // closed once value and err are set
	value V
	err   error
}

// NewGroup returns a Group whose flights belong to life.
func NewGroup[K comparable, V any](life *Life) *Group[K, V] {
	return &Group[K, V]{life: life, underway: make(map[K]*flight[V])}
}

// Do waits for the flight of that key, which it starts where there is none. The
// error is the work's, ctx's own, or [ErrClosed].
func (g *Group[K, V]) Do(ctx context.Context, key K, work func(context.Context) (V, error)) (V, error) {
	var none V
	if err := ctx.Err(); err != nil {
		return none, err
	}
	joined, ok := g.join(key, work)
	if !ok {
		return none, ErrClosed
	}
	select {
	case <-joined.done:
		if joined.err != nil && g.life.ctx.Err() != nil {
			return none, ErrClosed
		}
		return joined.value, joined.err
	case <-ctx.Done():
		g.leave(key, joined)
		return none, ctx.Err()
	}
}

func (g *Group[K, V]) join(key K, work func(context.Context) (V, error)) (*flight[V], bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if joined, ok := g.underway[key]; ok {
		joined.waiters++
		return joined, true
	}
	ctx, cancel := context.WithCancel(g.life.ctx)
	started := &flight[V]{waiters: 1, cancel: cancel, done: make(chan struct{})}
	if !g.life.Start(func() {
		defer cancel()
		started.value, started.err = work(ctx)
		g.forget(key, started)
		close(started.done)
	}) {
		cancel()
		return nil, false
	}
	g.underway[key] = started
	return started, true
}

// leave ends the flight with its last waiter. A newcomer starts another one
// rather than join one that is being cancelled.
func (g *Group[K, V]) leave(key K, left *flight[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	left.waiters--
	if left.waiters > 0 {
		return
	}
	left.cancel()
	if g.underway[key] == left {
		delete(g.underway, key)
	}
}

func (g *Group[K, V]) forget(key K, ended *flight[V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.underway[key] == ended {
		delete(g.underway, key)
	}
}
