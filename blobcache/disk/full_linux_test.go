package disk

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// mounted is a small file system of its own, full or read-only as a test needs it.
func mounted(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=0700"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(dir, 0)) })
	return dir
}

// The disk is smaller than the budget: it is filled, then the oldest go, one write at
// a time; when all else is pinned the write is refused and what came before is read.
func TestDiskFull(t *testing.T) {
	dir := mounted(t, "256k")
	w := openWorld(t, dir, newRecords(), budget(1<<30))
	t.Cleanup(w.stop) // before the file system goes
	const size = 16 * 1024
	for i := range uint64(100) {
		w.put(content(i, size))
	}
	w.wantHeld(sum(content(99, size)), content(99, size))
	st := w.Stats()
	if st.Objects < 8 || st.Objects > 16 || w.events.of(w.events.evicted, "free") != 100-st.Objects {
		t.Errorf("%+v, evicted %v", st, w.events.evicted)
	}
	if len(w.events.failed) != 0 {
		t.Errorf("failed: %v", w.events.failed)
	}
	w.wantSound()

	var pinned []*Blob
	w.All(func(d digest.Digest, _ int64, _ time.Time) bool {
		b, err := w.Store.Open(t.Context(), d)
		must(t, err)
		pinned = append(pinned, b)
		return true
	})
	p, err := w.Create(sum([]byte("large")), -1)
	must(t, err)
	chunk := content(7, 4096)
	var at int64
	for err == nil {
		var n int
		n, err = p.WriteAt(chunk, at)
		at += int64(n)
	}
	if !errors.Is(err, ErrNoRoom) {
		t.Errorf("WriteAt on a full disk: %v", err)
	}
	for off := int64(0); off+4096 <= at; off += 4096 {
		got := make([]byte, 4096)
		if _, err := p.ReadAt(got, off); err != nil || string(got) != string(chunk) {
			t.Fatalf("at %d: %v", off, err)
		}
	}
	must(t, p.Close())
	for _, b := range pinned {
		must(t, b.Close())
	}
	w.wantSound()
	w.put(content(100, size))
}

// What has to stay free stays free, also of what others write.
func TestMinFree(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Options)
	}{
		{"percent", func(o *Options) { o.MinFreePercent = 50 }},
		{"bytes", func(o *Options) { o.MinFree = 2 << 20 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := mounted(t, "4m")
			w := openWorld(t, dir, newRecords(), func(o *Options) { o.MaxSize = 1 << 30; c.change(o) })
			t.Cleanup(w.stop)
			var st syscall.Statfs_t
			free := func() int64 {
				must(t, syscall.Statfs(dir, &st))
				return int64(st.Bavail) * int64(st.Bsize)
			}
			for i := range uint64(60) {
				w.put(content(i, 128<<10))
				if got := free(); got < 2<<20 {
					t.Fatalf("%d bytes free after blob %d", got, i)
				}
			}
			if got := w.Stats(); got.Objects < 10 || got.Budget > 2<<20 || w.events.of(w.events.evicted, "free") != 60-got.Objects {
				t.Errorf("%+v, evicted %v", got, w.events.evicted)
			}
			must(t, os.WriteFile(filepath.Join(dir, "others"), make([]byte, 1<<20), 0o600))
			w.look0()
			w.put(content(60, 128<<10))
			if got := free(); got < 2<<20 {
				t.Errorf("%d bytes free beside others' file", got)
			}
			if _, err := w.Create(sum([]byte("too large")), 3<<20); !errors.Is(err, ErrNoRoom) {
				t.Errorf("a blob that fits the budget, and not the disk: %v", err)
			}
			w.wantSound()
		})
	}
}

// look0 makes the next claim look at the disk, as five seconds would.
func (w *world) look0() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unseen = lookBytes
}
