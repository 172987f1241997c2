package blobcache_test

import (
	"bytes"
	"os"
	"testing"

	"breakwater/blobcache"

	"github.com/opencontainers/go-digest"
)

// What is kept is there at once, and after a restart.
func TestDocumentsOutliveARestart(t *testing.T) {
	w := open(t, t.TempDir())
	documents := make(map[digest.Digest][]byte)
	for i, size := range []int{1, 2, 500, 4 * kib, 64 * kib, 64*kib + 1, mib, blobcache.MaxDocument} {
		d, body := content(i, size)
		documents[d] = body
		w.Keep(d, body)
		if got, ok := w.Document(t.Context(), d); !ok || !bytes.Equal(got, body) {
			t.Errorf("%d bytes are not there at once", size)
		}
	}
	w.restart()
	if got := w.Stats(); got.Memory != 0 || got.Disk.Objects != len(documents) {
		t.Fatalf("after the restart: %+v", got)
	}
	for d, body := range documents {
		if got, ok := w.Document(t.Context(), d); !ok || !bytes.Equal(got, body) {
			t.Errorf("%d bytes are not there after the restart", len(body))
		}
	}
	if w.Stats().Memory < blobcache.MaxDocument {
		t.Error("what was read is not in memory")
	}
}

// A blob that is too large for a manifest is none.
func TestALargeBlobIsNoDocument(t *testing.T) {
	w := open(t, t.TempDir())
	from := newRepository("a")
	d := from.push(1, blobcache.MaxDocument+1)
	w.fetched(from, d)
	if _, ok := w.Document(t.Context(), d); ok {
		t.Error("it was read into memory")
	}
}

// A document whose file was damaged at rest is absent, is told once, and can be kept
// anew.
func TestADamagedDocument(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(path string) error
		told   string
	}{
		"a bit flipped, and the time kept": {func(path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			if err := flip(path); err != nil {
				return err
			}
			return os.Chtimes(path, info.ModTime(), info.ModTime())
		}, "damaged read"},
		"a bit flipped": {flip, "damaged modified"},
		"cut":           {func(path string) error { return os.Truncate(path, 100) }, "damaged size"},
		"empty":         {func(path string) error { return os.Truncate(path, 0) }, "damaged size"},
		"longer":        {func(path string) error { return os.Truncate(path, 10_000) }, "damaged size"},
		"gone":          {os.Remove, "damaged read"},
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t, t.TempDir())
			d, body := content(1, 5000)
			w.Keep(d, body)
			w.restart() // memory has it no longer
			if err := c.damage(w.path(d)); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, ok := w.Document(t.Context(), d); ok {
					t.Fatal("it was given out")
				}
				if _, ok := w.Cache.Open(t.Context(), d); ok {
					t.Fatal("it was opened")
				}
			}
			if w.Held(d) || w.events.told(c.told) != 1 {
				t.Errorf("held %t; told %v, want %q once", w.Held(d), w.events.said, c.told)
			}
			w.Keep(d, body)
			w.restart()
			if got, ok := w.Document(t.Context(), d); !ok || !bytes.Equal(got, body) {
				t.Error("it cannot be kept anew")
			}
		})
	}
}

func flip(path string) error {
	body, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	body[len(body)/2] ^= 1
	return os.WriteFile(path, body, 0o600)
}
