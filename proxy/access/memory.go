package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// mostRemembered bounds each memory: what it remembers comes from clients.
const mostRemembered = 8192

// memory remembers verdicts about credentials by a hash of them, under a key that
// dies with the process: what a core dump or a swapped page shows cannot be tried
// against guessed passwords without that key, and is of no use elsewhere.
type memory[V any] struct {
	secret [32]byte

	mu      sync.Mutex // guards entries
	entries *simplelru.LRU[fingerprint, expiring[V]]
}

// fingerprint stands for credentials.
type fingerprint [sha256.Size]byte

type expiring[V any] struct {
	value V
	until time.Time // zero: until it is forgotten
}

func newMemory[V any]() *memory[V] {
	entries, err := simplelru.NewLRU[fingerprint, expiring[V]](mostRemembered, nil)
	if err != nil {
		panic(err) // only for a size below one
	}
	m := &memory[V]{entries: entries}
	_, _ = rand.Read(m.secret[:]) // never fails (crypto/rand)
	return m
}

// fingerprint hashes the parts, each with its length, so that no two lists of parts
// are one text.
func (m *memory[V]) fingerprint(parts ...string) fingerprint {
	hash := hmac.New(sha256.New, m.secret[:])
	for _, part := range parts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		hash.Write(length[:])
		hash.Write([]byte(part))
	}
	return fingerprint(hash.Sum(nil))
}

func (m *memory[V]) get(f fingerprint) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries.Get(f)
	if !ok || !e.until.IsZero() && !time.Now().Before(e.until) {
		var none V
		return none, false
	}
	return e.value, true
}

func (m *memory[V]) put(f fingerprint, value V, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries.Add(f, expiring[V]{value, until})
}

// forget drops all that is remembered.
func (m *memory[V]) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries.Purge()
}
