package blobcache_test

import (
	"bytes"
	"testing"

	"breakwater/blobcache"

	"github.com/opencontainers/go-digest"
)

// What is kept in memory stays within its budget, and who was used last stays
// longest.
func TestMemoryIsBounded(t *testing.T) {
	const budget = 64 * kib
	w := open(t, "", func(o *blobcache.Options) { o.Memory = budget })
	first, firstBody := content(0, 4*kib)
	w.Keep(first, firstBody)
	var kept []digest.Digest
	for i := range 200 {
		d, body := content(1+i, 4*kib)
		w.Keep(d, body)
		kept = append(kept, d)
		if got := w.Stats().Memory; got > budget {
			t.Fatalf("%d bytes in memory, the budget is %d", got, budget)
		}
		if got, ok := w.Document(t.Context(), first); !ok || !bytes.Equal(got, firstBody) {
			t.Fatalf("after %d others what is used all the time is gone", i)
		}
	}
	held := 0
	for _, d := range kept {
		if w.holds(d) {
			held++
		} else if held > 0 {
			t.Fatal("a newer one left before an older one")
		}
	}
	if held < 10 || !w.Held(kept[len(kept)-1]) || w.Held(kept[0]) {
		t.Errorf("%d of 200 are held", held)
	}

	// One that would take everything takes nothing.
	before := w.Stats().Memory
	large, body := content(999, budget)
	w.Keep(large, body)
	if w.Held(large) || w.Stats().Memory != before || !w.Held(first) {
		t.Errorf("a document of the budget's size: held %t, %d bytes in memory, %d before", w.Held(large), w.Stats().Memory, before)
	}
	w.Keep(first, firstBody)
	if got := w.Stats().Memory; got != before {
		t.Errorf("what is kept again counts again: %d bytes, %d before", got, before)
	}
}

// Memory gives small blobs and manifests; a larger blob never enters it.
func TestWhatMemoryIsFor(t *testing.T) {
	w := open(t, t.TempDir())
	from := newRepository("a")
	small, large := from.push(1, 64*kib), from.push(2, 64*kib+1)
	for _, d := range []digest.Digest{small, large} {
		w.fetched(from, d)
		if !w.holds(d) {
			t.Errorf("%s is not held", d)
		}
	}
	if got := w.Stats().Memory; got < 64*kib || got > 65*kib {
		t.Errorf("%d bytes in memory, want those of the small blob", got)
	}
}
