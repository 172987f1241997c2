package tokencache

import (
	"math/rand/v2"
	"time"
)

const (
	shortestBackoff = time.Second
	longestBackoff  = time.Minute
)

// A backoff is a growing pause: 1 s, 2 s, … 60 s, each up to a tenth longer by
// chance, so that several Breakwaters do not ask in step. Its zero value is no
// pause. Whoever holds one guards it.
type backoff struct {
	length time.Duration
	until  time.Time
}

// extend begins the next pause, which lasts at least as long as asked (upstream's
// Retry-After), but never longer than the longest.
func (b *backoff) extend(now time.Time, least time.Duration) {
	b.length = min(max(2*b.length, shortestBackoff), longestBackoff)
	pause := max(b.length, min(least, longestBackoff))
	b.until = now.Add(pause + rand.N(pause/10))
}

func (b backoff) active(now time.Time) bool { return now.Before(b.until) }
