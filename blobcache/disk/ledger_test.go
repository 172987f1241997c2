package disk

import (
	"path"
	"testing"

	"github.com/opencontainers/go-digest"
)

// FuzzBlocks compares the set with one that is plain to see.
func FuzzBlocks(f *testing.F) {
	f.Add([]byte{0, 3, 60, 10, 63, 2, 255, 0, 1, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		var b blocks
		model := map[int64]bool{}
		for len(script) >= 2 {
			first := int64(script[0])
			end := first + int64(script[1])
			script = script[2:]
			var want int64
			for i := first; i < end; i++ {
				if !model[i] {
					want++
				}
			}
			if got := b.missing(first, end); got != want {
				t.Fatalf("of [%d, %d) %d are missing, want %d", first, end, got, want)
			}
			b.add(first, end)
			for i := first; i < end; i++ {
				model[i] = true
			}
			if got := b.count(); got != int64(len(model)) {
				t.Fatalf("%d blocks, want %d", got, len(model))
			}
		}
	})
}

// FuzzNames: what becomes a file name leads back to its digest, and stays in its
// folder; what a start reads from a folder never panics.
func FuzzNames(f *testing.F) {
	f.Add("sha256:" + numbered(1).digest().Encoded())
	f.Add("sha512:" + digest.SHA512.FromString("").Encoded())
	f.Add("sha256:../..")
	f.Add("sha256-" + numbered(1).digest().Encoded() + ".X")
	f.Fuzz(func(t *testing.T, text string) {
		isPartial(text)
		k, err := keyOf(digest.Digest(text))
		if err != nil {
			return
		}
		if k.digest().String() != text {
			t.Fatalf("%q became %q", text, k.digest())
		}
		if base := path.Base(k.path()); base != k.digest().Encoded() || path.Dir(path.Dir(path.Dir(k.path()))) != "blobs" {
			t.Fatalf("%q is at %s", text, k.path())
		}
		if p := k.partialPath("SUFFIX"); path.Dir(p) != "partial" || !isPartial(path.Base(p)) {
			t.Fatalf("%q is filled at %s", text, p)
		}
	})
}
