package access

import (
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
// are one text. That the key only comes first is enough, where nobody gets to see a
// fingerprint and could go on from it.
func (m *memory[V]) fingerprint(parts ...string) fingerprint {
	text := append(make([]byte, 0, 256), m.secret[:]...) // what most credentials fit into, on the stack
	for _, part := range parts {
		text = binary.BigEndian.AppendUint64(text, uint64(len(part)))
		text = append(text, part...)
	}
	return sha256.Sum256(text)
}

func (m *memory[V]) get(f fingerprint) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries.Get(f)
	if ok && !e.until.IsZero() && !time.Now().Before(e.until) {
		m.entries.Remove(f)
		ok = false
	}
	if !ok {
		var none V
		return none, false
	}
	return e.value, true
}

func (m *memory[V]) drop(f fingerprint) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries.Remove(f)
}

func (m *memory[V]) put(f fingerprint, value V, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries.Add(f, expiring[V]{value, until})
}
