package blobcache_test

import (
	"bytes"
	"fmt"
	"testing"

	"breakwater/blobcache"

	"github.com/opencontainers/go-digest"
)

// A look at what is held uses nothing: what goes next stays what goes next.
func TestPeekIsNoUse(t *testing.T) {
	w := open(t, t.TempDir())
	first, body := content(1, 5000)
	w.Keep(first, body)
	w.restart() // memory has it no longer
	second, other := content(2, 5000)
	w.Keep(second, other)
	w.restart()
	order := func() (found []digest.Digest, used string) {
		if err := w.Entries(t.Context(), "", func(e blobcache.Entry) error {
			found, used = append(found, e.Digest), used+fmt.Sprint(e.Used.UnixNano(), " ")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return found, used
	}
	before, used := order()
	if got, ok := w.Peek(before[0]); !ok || digest.FromBytes(got) != before[0] {
		t.Errorf("Peek of what is on disk: %d bytes, %t", len(got), ok)
	}
	if after, usedAfter := order(); fmt.Sprint(after) != fmt.Sprint(before) || usedAfter != used || w.Stats().Memory != 0 || w.Stats().Disk.Pinned != 0 {
		t.Errorf("before %v %s, after %v %s, %+v", before, used, after, usedAfter, w.Stats())
	}
	if got, ok := w.Document(t.Context(), first); !ok || !bytes.Equal(got, body) {
		t.Fatal("it is not held")
	}
	if got, ok := w.Peek(first); !ok || !bytes.Equal(got, body) {
		t.Errorf("Peek of what is in memory: %d bytes, %t", len(got), ok)
	}
	absent, _ := content(3, 10)
	if _, ok := w.Peek(absent); ok {
		t.Error("Peek found what is not there")
	}
}

// What is damaged is not shown, and left for whoever is served to find.
func TestPeekOfDamage(t *testing.T) {
	w := open(t, t.TempDir())
	d, body := content(1, 5000)
	w.Keep(d, body)
	w.restart()
	if err := flip(w.path(d)); err != nil {
		t.Fatal(err)
	}
	if got, ok := w.Peek(d); ok {
		t.Errorf("%d damaged bytes were shown", len(got))
	}
	if !w.Held(d) {
		t.Error("a look removed it")
	}
}

// A blob that is too large for a manifest is not read into memory by a look either, and
// what is not on its way is nowhere.
func TestPeekOfALargeBlob(t *testing.T) {
	w := open(t, t.TempDir())
	from := newRepository("a")
	d := from.push(1, blobcache.MaxDocument+1)
	if _, _, ok := w.Underway(d, ""); ok {
		t.Error("it is on its way before anybody asked")
	}
	w.fetched(from, d)
	if _, ok := w.Peek(d); ok {
		t.Error("it was read into memory")
	}
	if _, _, ok := w.Underway(d, ""); ok {
		t.Error("it is on its way after it came")
	}
}
