package harbortest

import (
	"context"
	"net/http"
	"time"
)

// Part is a part of a Harbor installation that can be down.
type Part string

// The parts. With a part down Harbor answers as it was recorded, see
// testdata/12-backends-down.txt.
const (
	Database      Part = "database"       // reads of repositories are 401, tokens anonymous
	Storage       Part = "storage"        // the registry behind core: 502 with an empty body
	Core          Part = "core"           // 502 with a page of nginx
	Redis         Part = "redis"          // slow: 12 s, 5 s, then 0.4 s a request
	ProxyUpstream Part = "proxy upstream" // the upstreams of all proxy-cache projects
	TokenService  Part = "token service"  // part of core: 502 for /service/ alone, a state that was not recorded
)

const databaseError = "failed to connect to `user=postgres database=registry`: 127.0.0.1:8832 (127.0.0.1): " +
	"dial error: dial tcp 127.0.0.1:8832: connect: connection refused"

// SetDown takes a part down, or up again.
func (h *Harbor) SetDown(part Part, down bool) {
	h.storeAll(false) // what was due while the part was as it was
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.checks[part]; c != nil {
		c.look(h.down[part])
	}
	h.down[part] = down
	h.redis = 0
}

func (h *Harbor) isDown(part Part) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.down[part]
}

// thoughtHealthy is what Harbor believes of a part since its last check.
func (h *Harbor) thoughtHealthy(part Part) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.checks[part].look(h.down[part])
}

// check is a health check that Harbor makes at fixed intervals, so that what it
// believes lags behind. It is computed when somebody asks.
type check struct {
	every   time.Duration
	begin   time.Time
	checks  time.Duration // the number of checks made
	healthy bool
}

func newChecks() map[Part]*check {
	now := time.Now()
	return map[Part]*check{
		Database:      {every: 10 * time.Second, begin: now, healthy: true},
		Storage:       {every: 10 * time.Second, begin: now, healthy: true},
		Redis:         {every: 10 * time.Second, begin: now, healthy: true},
		ProxyUpstream: {every: 5 * time.Minute, begin: now, healthy: true},
	}
}

// look makes the checks that are due; down has been the part's state since the
// last call.
func (c *check) look(down bool) bool {
	if due := time.Since(c.begin) / c.every; due > c.checks {
		c.checks, c.healthy = due, !down
	}
	return c.healthy
}

// storageDown answers 502 if the storage registry is down.
func (x *exchange) storageDown() bool {
	if !x.h.isDown(Storage) {
		return false
	}
	x.w.Header().Set("Content-Length", "0")
	x.w.WriteHeader(http.StatusBadGateway)
	return true
}

// redisDelay waits as Harbor does for a Redis that is down.
func (h *Harbor) redisDelay(ctx context.Context) {
	h.mu.Lock()
	if !h.down[Redis] {
		h.mu.Unlock()
		return
	}
	wait := 400 * time.Millisecond
	if first := []time.Duration{12 * time.Second, 5 * time.Second}; h.redis < len(first) {
		wait = first[h.redis]
	}
	h.redis++
	h.mu.Unlock()
	sleep(ctx, wait)
}
