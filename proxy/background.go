package proxy

import (
	"context"

	"breakwater/internal/flight"
)

// What is done in the background waits in a queue of bounded length and is worked
// off by a few, so that it never competes with pulls for upstream.
const (
	backgroundQueue   = 4096
	backgroundWorkers = 4
)

// background does what can wait.
type background struct {
	life  *flight.Life
	queue chan func(context.Context)
}

func newBackground(life *flight.Life) *background {
	b := &background{life: life, queue: make(chan func(context.Context), backgroundQueue)}
	for range backgroundWorkers {
		life.Start(b.work)
	}
	return b
}

func (b *background) work() {
	ctx := b.life.Context()
	for {
		select {
		case <-ctx.Done():
			return
		case task := <-b.queue:
			task(ctx)
		}
	}
}

// later queues a task, or drops it where too many wait: none of them is worth more
// than memory, and what it was for is asked for in time when it is needed.
func (b *background) later(task func(context.Context)) bool {
	select {
	case b.queue <- task:
		return true
	default:
		return false
	}
}
