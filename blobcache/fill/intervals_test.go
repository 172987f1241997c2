package fill

import (
	"math/rand/v2"
	"testing"
)

// bitmap is what intervals ought to be.
type bitmap [300]bool

func (b *bitmap) until(at int64) int64 {
	for at < int64(len(b)) && b[at] {
		at++
	}
	return at
}

func (b *bitmap) gap(at, limit int64) span {
	start, end := at, at
	for start > 0 && !b[start-1] {
		start--
	}
	for end < limit && !b[end] {
		end++
	}
	return span{start, end}
}

// compare adds pairs of bytes as intervals to both, and compares them after each.
func compare(t *testing.T, script []byte) {
	t.Helper()
	var set intervals
	var model bitmap
	for ; len(script) >= 2; script = script[2:] {
		start, end := int64(script[0]), int64(script[0])+int64(script[1]%40)
		set.add(start, end)
		for i := start; i < end; i++ {
			model[i] = true
		}
		for i := 1; i < len(set); i++ {
			if set[i-1].end >= set[i].start {
				t.Fatalf("after [%d, %d): not sorted, or not joined: %v", start, end, set)
			}
		}
		for at := range int64(len(model)) {
			if got, want := set.until(at), model.until(at); got != want {
				t.Fatalf("after [%d, %d): until(%d) is %d, want %d in %v", start, end, at, got, want, set)
			}
			if model[at] {
				continue
			}
			if got, want := set.gap(at, int64(len(model))), model.gap(at, int64(len(model))); got != want {
				t.Fatalf("after [%d, %d): gap(%d) is %v, want %v in %v", start, end, at, got, want, set)
			}
		}
	}
}

func TestIntervals(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	for range 200 {
		script := make([]byte, 60)
		_, _ = random.Read(script)
		compare(t, script)
	}
}

func FuzzIntervals(f *testing.F) {
	f.Add([]byte{0, 10, 10, 10, 30, 5, 20, 10})
	f.Add([]byte{9, 1, 11, 1, 10, 1, 0, 39})
	f.Fuzz(func(t *testing.T, script []byte) {
		compare(t, script[:min(len(script), 100)])
	})
}
