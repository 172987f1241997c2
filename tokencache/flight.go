package tokencache

import (
	"context"
	"sync"
)

// A lifetime owns every goroutine of a [Cache].
type lifetime struct {
	ctx    context.Context // ends with the lifetime; carries no values
	cancel context.CancelFunc

	mu      sync.Mutex // guards closed, so that nothing starts once end waits
	closed  bool
	running sync.WaitGroup
}

func newLifetime() *lifetime {
	l := new(lifetime)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// start runs work in a goroutine of its own, or returns false once closed.
func (l *lifetime) start(work func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.running.Go(work)
	return true
}

// end cancels what runs and waits for it.
func (l *lifetime) end() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.running.Wait()
}

// flights let everybody who wants the same thing at the same time wait for one
// piece of work. The work belongs to no waiter: its context carries nobody's
// values and ends when the last waiter has left.
type flights[K comparable, V any] struct {
	life *lifetime

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

func newFlights[K comparable, V any](life *lifetime) *flights[K, V] {
	return &flights[K, V]{life: life, underway: make(map[K]*flight[V])}
}

// do waits for the flight of that key, which it starts where there is none. The
// error is the work's, ctx's own, or [ErrClosed].
func (f *flights[K, V]) do(ctx context.Context, key K, work func(context.Context) (V, error)) (V, error) {
	var none V
	if err := ctx.Err(); err != nil {
		return none, err
	}
	joined, ok := f.join(key, work)
	if !ok {
		return none, ErrClosed
	}
	select {
	case <-joined.done:
		if joined.err != nil && f.life.ctx.Err() != nil {
			return none, ErrClosed
		}
		return joined.value, joined.err
	case <-ctx.Done():
		f.leave(key, joined)
		return none, ctx.Err()
	}
}

func (f *flights[K, V]) join(key K, work func(context.Context) (V, error)) (*flight[V], bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if joined, ok := f.underway[key]; ok {
		joined.waiters++
		return joined, true
	}
	ctx, cancel := context.WithCancel(f.life.ctx)
	started := &flight[V]{waiters: 1, cancel: cancel, done: make(chan struct{})}
	if !f.life.start(func() {
		defer cancel()
		started.value, started.err = work(ctx)
		f.forget(key, started)
		close(started.done)
	}) {
		cancel()
		return nil, false
	}
	f.underway[key] = started
	return started, true
}

// leave ends the flight with its last waiter. A newcomer starts another one
// rather than join one that is being cancelled.
func (f *flights[K, V]) leave(key K, left *flight[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	left.waiters--
	if left.waiters > 0 {
		return
	}
	left.cancel()
	if f.underway[key] == left {
		delete(f.underway, key)
	}
}

func (f *flights[K, V]) forget(key K, ended *flight[V]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.underway[key] == ended {
		delete(f.underway, key)
	}
}
