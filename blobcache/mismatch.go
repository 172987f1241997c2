package blobcache

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/opencontainers/go-digest"
)

// After wrong bytes a source is not asked for the digest for a while, which grows
// each time: whoever comes in a loop would have it transferred in a loop.
const (
	shortestWrong = time.Second
	longestWrong  = time.Minute
	mostWrong     = 1024
)

// mismatches remembers which sources gave wrong bytes for which digest.
type mismatches struct {
	mu      sync.Mutex // guards entries
	entries *simplelru.LRU[wrongKey, wrong]
}

type wrongKey struct {
	digest digest.Digest
	source string
}

type wrong struct {
	until time.Time
	pause time.Duration
}

func newMismatches() *mismatches {
	entries, err := simplelru.NewLRU[wrongKey, wrong](mostWrong, nil)
	if err != nil {
		panic(err) // only for a size below one
	}
	return &mismatches{entries: entries}
}

func (m *mismatches) note(d digest.Digest, source string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	last, _ := m.entries.Get(wrongKey{d, source})
	if time.Since(last.until) > longestWrong {
		last.pause = 0 // long ago
	}
	pause := min(max(2*last.pause, shortestWrong), longestWrong)
	m.entries.Add(wrongKey{d, source}, wrong{until: time.Now().Add(pause), pause: pause})
}

func (m *mismatches) recent(d digest.Digest, source string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	last, ok := m.entries.Get(wrongKey{d, source})
	return ok && time.Now().Before(last.until)
}
