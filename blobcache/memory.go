package blobcache

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/opencontainers/go-digest"
)

// maxSmall is the size in bytes of the largest blob that is kept in memory: image
// configurations are below it. Manifests are kept whatever their size.
const maxSmall = 64 << 10

// entryOverhead is what an entry takes beside its body, in bytes: digest, map and
// list.
const entryOverhead = 400

// memory holds the documents and small blobs that were used last, up to a number of
// bytes.
type memory struct {
	budget int64

	mu      sync.Mutex // guards all below
	entries *simplelru.LRU[digest.Digest, []byte]
	bytes   int64
}

func newMemory(budget int64) *memory {
	m := &memory{budget: budget}
	entries, err := simplelru.NewLRU(1<<30, func(_ digest.Digest, body []byte) { m.bytes -= weight(body) })
	if err != nil {
		panic(err) // only for a size below one
	}
	m.entries = entries
	return m
}

func weight(body []byte) int64 { return int64(cap(body)) + entryOverhead }

func (m *memory) get(d digest.Digest) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries.Get(d)
}

// peek is get without the use.
func (m *memory) peek(d digest.Digest) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.entries.Peek(d)
}

// add keeps a body, which nobody changes any more.
func (m *memory) add(d digest.Digest, body []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if weight(body) > m.budget || m.entries.Contains(d) {
		return
	}
	m.entries.Add(d, body)
	for m.bytes += weight(body); m.bytes > m.budget; {
		m.entries.RemoveOldest()
	}
}

func (m *memory) remove(d digest.Digest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries.Remove(d)
}

func (m *memory) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries.Purge()
}

func (m *memory) used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}
