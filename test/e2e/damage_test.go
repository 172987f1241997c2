//go:build e2e

package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// damages are what may happen to the file of a blob, and how the metric calls it.
// Bytes that changed while size and time did not are found by `cache verify` alone.
var damages = map[string]func(t *testing.T, path string){
	"size":     func(t *testing.T, path string) { mustDo(t, os.Truncate(path, 100_000)) },
	"modified": flip,
	"read":     func(t *testing.T, path string) { mustDo(t, os.Remove(path)) },
}

// flip changes one bit in the middle of a file, and its time. The clock of the file
// system may be too coarse to tell this write from the last one, so the time is set.
func flip(t *testing.T, path string) {
	t.Helper()
	content := must(os.ReadFile(path))(t)
	content[len(content)/2] ^= 1
	file := must(os.OpenFile(path, os.O_WRONLY, 0))(t)
	_, err := file.WriteAt(content, 0)
	mustDo(t, err)
	mustDo(t, file.Close())
	mustDo(t, os.Chtimes(path, time.Time{}, time.Now()))
}

// flipUnseen is flip that leaves the file's time as it was.
func flipUnseen(t *testing.T, path string) {
	t.Helper()
	before := must(os.Stat(path))(t)
	flip(t, path)
	mustDo(t, os.Chtimes(path, time.Time{}, before.ModTime()))
}

const blobDamaged = "a blob's file was damaged; it is removed and will be fetched again"

// A blob's file that is cut, changed or gone is fetched anew, whether that happened
// under the running program or between two runs.
func TestDamagedBlobFiles(t *testing.T) {
	w := newCacheWorld(t, settings{})
	seed := uint64(10)
	for _, when := range []string{"while running", "at rest"} {
		for how, damage := range damages {
			t.Run(how+" "+when, func(t *testing.T) {
				seed++
				b := w.pushBlob(t, "team-a/damaged", seed, 300_000)
				w.checkBlob(t, b)
				w.held(t, b)
				if when == "at rest" {
					w.stop(t)
				}
				damage(t, w.file(b.digest))
				if when == "at rest" {
					w.serveAgain(t)
				}
				w.harbor.ResetRequests()
				for range 2 {
					w.checkBlob(t, b)
				}
				if asked := w.contentRequests(); len(asked) != 1 || asked[0] != "GET "+b.path() {
					t.Errorf("Harbor heard %v, want one GET of the blob", asked)
				}
				w.held(t, b)
				w.checkAccounts(t)
				if when == "at rest" {
					w.stop(t)
					if how != "read" { // a file that is gone at the start was not damaged, it is just not held
						w.checkTold(t, blobDamaged)
					}
					w.serveAgain(t)
				} else if w.value(t, "cache_damaged_total", "how", how) != 1 {
					t.Errorf("cache_damaged_total{how=%q} is not 1", how)
				}
			})
		}
	}
}

// A bit that flips where neither size nor time tells is found by `cache verify`, on
// the running instance and on the stopped cache; the next pull brings what is right.
func TestVerifyFindsFlippedBits(t *testing.T) {
	w := newCacheWorld(t, settings{})
	good := w.pushBlob(t, "team-a/flipped", 1, 300_000)
	bad := w.pushBlob(t, "team-a/flipped", 2, 300_000)
	for _, state := range []string{"running", "stopped"} {
		t.Run(state, func(t *testing.T) {
			w.checkBlob(t, good)
			w.checkBlob(t, bad)
			w.held(t, good, bad)
			if state == "stopped" {
				w.stop(t)
			}
			flipUnseen(t, w.file(bad.digest))
			output, status := w.cache(t, "verify")
			if status != 1 {
				t.Errorf("exit status %d, want 1", status)
			}
			for _, found := range values[verdict](t, output) {
				if (found.Error != "") != (found.Digest == bad.digest) {
					t.Errorf("%s: error %q; %s alone is wrong", found.Digest, found.Error, bad.digest)
				}
			}
			if state == "stopped" {
				w.serveAgain(t)
			} else if w.value(t, "cache_damaged_total", "how", "digest") != 1 {
				t.Error(`cache_damaged_total{how="digest"} is not 1`)
			}
			w.checkBlob(t, good)
			w.checkBlob(t, bad)
			w.held(t, bad)
			if output, status := w.cache(t, "verify"); status != 0 {
				t.Errorf("verifying again: exit status %d: %s", status, output)
			}
			if state == "running" {
				return
			}
			w.stop(t)
		})
	}
}

// The index is cut or scribbled on, under the running program or between two runs. It is
// replaced, and pulls go on. What was known to the running program is not lost, not even
// by its next start; and what is blocked stays so in any case.
func TestDamagedIndex(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, path string){
		"cut":      func(t *testing.T, path string) { mustDo(t, os.Truncate(path, 5000)) },
		"emptied":  func(t *testing.T, path string) { mustDo(t, os.Truncate(path, 0)) },
		"scribble": scribble,
	} {
		t.Run(name+" while running", func(t *testing.T) {
			i := newIndexWorld(t)
			damage(t, i.index)
			fresh := i.pushBlob(t, "team-a/index", 3, 200_000)
			i.checkBlob(t, i.old)
			i.checkBlob(t, fresh)
			i.checkFound(t)
			i.stop(t)
			i.checkTold(t, "index: damaged")

			i.serveAgain(t)
			i.harbor.ResetRequests()
			i.checkBlob(t, i.old)
			i.checkBlob(t, fresh)
			if asked := i.contentRequests(); len(asked) > 0 {
				t.Errorf("what was known is asked for again: %v", asked)
			}
			i.checkBlocked(t)
			i.checkAccounts(t)
		})
		t.Run(name+" at rest", func(t *testing.T) {
			i := newIndexWorld(t)
			i.stop(t)
			damage(t, i.index)
			i.serveAgain(t)
			i.checkFound(t)
			i.checkBlocked(t)
			i.harbor.ResetRequests()
			i.checkBlob(t, i.old)
			if asked := i.contentRequests(); heardOf(asked, "GET", "/blobs/") {
				t.Errorf("what is held was fetched again: %v", asked)
			}
			i.checkAccounts(t)
			i.stop(t)
			i.checkTold(t, "index: damaged")
		})
	}
}

// An indexWorld has an index that knows a blob and a block.
type indexWorld struct {
	*cacheWorld
	index        string // file
	old, blocked blob
}

func newIndexWorld(t *testing.T) *indexWorld {
	t.Helper()
	w := newCacheWorld(t, settings{})
	i := &indexWorld{cacheWorld: w, index: filepath.Join(w.dir, "index.db"),
		old: w.pushBlob(t, "team-a/index", 1, 200_000), blocked: w.pushBlob(t, "team-a/index", 2, 200_000)}
	w.checkBlob(t, i.old)
	w.held(t, i.old)
	if output, status := w.cache(t, "block", i.blocked.digest.String()); status != 0 {
		t.Fatalf("cache block: exit status %d: %s", status, output)
	}
	time.Sleep(1200 * time.Millisecond) // links are written within a second
	return i
}

func (i *indexWorld) checkFound(t *testing.T) {
	t.Helper()
	eventually(t, "the index is found damaged and replaced", func() bool {
		return i.value(t, "cache_index_damaged_total", "", "") == 1
	})
}

func (i *indexWorld) checkBlocked(t *testing.T) {
	t.Helper()
	if resp, _ := i.ask(t, i.blocked.path(), nil); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a blocked digest: status %d, want 403", resp.StatusCode)
	}
}

// scribble writes over each page of a file.
func scribble(t *testing.T, path string) {
	t.Helper()
	file := must(os.OpenFile(path, os.O_WRONLY, 0))(t)
	size := must(file.Stat())(t).Size()
	for at := int64(20); at < size; at += int64(os.Getpagesize()) {
		_, err := file.WriteAt([]byte("scribbled on by somebody else's program"), at)
		mustDo(t, err)
	}
	mustDo(t, file.Close())
}
