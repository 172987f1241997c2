package tokencache

import "time"

const (
	// hotFor is how long after its last use a token is still renewed.
	hotFor = 5 * time.Minute
	// shortestRenewed keeps tokens of a few seconds from being renewed all the
	// time; they are exchanged when they are needed.
	shortestRenewed = 30 * time.Second
	// shortestRetry bounds how often a renewal that fails is tried again.
	shortestRetry = 5 * time.Second
)

// renewal exchanges a token in use before it expires, in a goroutine that Close
// waits for. If that fails the old token stays: it works until its end.
func (c *Cache) renewal(q question, old *token) {
	c.life.Start(func() {
		if !c.tokens.hot(q.key, old) {
			return
		}
		_, err := c.flights.Do(c.life.Context(), q.flight, c.obtain(q, old.generation))
		if err != nil {
			c.tokens.retryRenewal(q, old)
		}
	})
}

// hot reports whether that token is still the one held, and in use.
func (t *tokens) hot(key string, held *token) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.entries.Peek(key)
	return ok && e.token == held && time.Since(e.used) <= hotFor
}

// retryRenewal tries again after half of the time that is left.
func (t *tokens) retryRenewal(q question, old *token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, ok := t.entries.Peek(q.key)
	left := time.Until(old.usable) / 2
	if !ok || e.token != old || left < shortestRetry || t.closed {
		return
	}
	e.stop()
	e.renewal = time.AfterFunc(left, func() { t.renew(q, old) })
}
