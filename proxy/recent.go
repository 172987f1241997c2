package proxy

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// mostRecent bounds each memory: its keys come from clients.
const mostRecent = 4096

// negativeLife is how long "not there" is believed. Harbor itself may repeat one for
// minutes after it ceased to be true; many clients asking for a signature that does
// not exist must not ask it each time.
const negativeLife = 5 * time.Second

// remembered is an error that upstream was not asked for this time.
type remembered struct{ error }

func (r *remembered) Unwrap() error { return r.error }

// recent remembers values for a short while.
type recent[V any] struct {
	mu      sync.Mutex // guards entries
	entries *simplelru.LRU[string, expiring[V]]
}

type expiring[V any] struct {
	value V
	until time.Time
}

func newRecent[V any]() *recent[V] {
	entries, err := simplelru.NewLRU[string, expiring[V]](mostRecent, nil)
	if err != nil {
		panic(err) // only for a size below one
	}
	return &recent[V]{entries: entries}
}

func (r *recent[V]) get(key string) (V, bool) { return r.look(key, r.entries.Get) }

// peek is get without the use.
func (r *recent[V]) peek(key string) (V, bool) { return r.look(key, r.entries.Peek) }

func (r *recent[V]) look(key string, find func(string) (expiring[V], bool)) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := find(key)
	if !ok || !time.Now().Before(e.until) {
		var none V
		return none, false
	}
	return e.value, true
}

func (r *recent[V]) put(key string, value V, life time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries.Add(key, expiring[V]{value, time.Now().Add(life)})
}

func (r *recent[V]) forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries.Remove(key)
}

// once tells whether key was not noted within that time, and notes it.
func (r *recent[V]) once(key string, every time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e, ok := r.entries.Get(key); ok && time.Now().Before(e.until) {
		return false
	}
	var none V
	r.entries.Add(key, expiring[V]{none, time.Now().Add(every)})
	return true
}
