package access

import "sync"

// tally counts what each has of something, and what all have together, up to a bound
// of either. Who has nothing is not kept.
type tally[K comparable] struct {
	most      int // of one
	mostOfAll int

	mu  sync.Mutex // guards the rest
	of  map[K]int
	all int
}

func newTally[K comparable](most, mostOfAll int) *tally[K] {
	return &tally[K]{most: most, mostOfAll: mostOfAll, of: make(map[K]int)}
}

// add counts one more, unless that is too many; then remove must not be called.
func (t *tally[K]) add(key K) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all >= t.mostOfAll || t.of[key] >= t.most {
		return false
	}
	t.all++
	t.of[key]++
	return true
}

func (t *tally[K]) remove(key K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all--
	if t.of[key]--; t.of[key] == 0 {
		delete(t.of, key)
	}
}
