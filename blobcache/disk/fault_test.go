package disk

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A disk that refuses one operation: the fill fails and says why, what is held is
// served, nothing is counted twice or lost, and it works again afterwards.
func TestDiskRefuses(t *testing.T) {
	for step, operation := range map[string]string{"create": "open", "write": "write", "sync": "sync", "rename": "rename"} {
		t.Run(step, func(t *testing.T) {
			core, logged := observer.New(zap.WarnLevel)
			w := newWorld(t, func(o *Options) { o.Log = zap.New(core) })
			held, b := content(1, 10_000), content(2, 10_000)
			d := w.put(held)
			for range 3 {
				w.folder.fault = func(op string) error {
					if op == step {
						return syscall.EROFS
					}
					return nil
				}
				p, err := w.Create(sum(b), int64(len(b)))
				if err == nil {
					_, err = p.WriteAt(b, 0)
					if err == nil {
						err = p.Commit()
						got := make([]byte, len(b))
						if _, err := p.ReadAt(got, 0); err != nil || string(got) != string(b) {
							t.Errorf("after a failed commit its readers got %v", err)
						}
					}
					if again := p.Commit(); again == nil {
						t.Error("committed after a failure")
					}
					must(t, p.Close())
				}
				if !errors.Is(err, syscall.EROFS) || errors.Is(err, ErrNoRoom) {
					t.Errorf("the fill: %v", err)
				}
				w.folder.fault = nil
				w.wantHeld(d, held)
				w.wantAbsent(sum(b))
				if st := w.Stats(); st.Bytes != 12288 || st.Promised != 0 || onDisk(t, w.dir) != 12288 {
					t.Errorf("%+v, %d on disk", st, onDisk(t, w.dir))
				}
			}
			if w.events.of(w.events.failed, operation) != 3 || len(w.events.failed) != 1 {
				t.Errorf("failed: %v", w.events.failed)
			}
			if logged.Len() != 1 {
				t.Errorf("%d log lines", logged.Len())
			}
			w.put(b)
			w.wantHeld(sum(b), b)
			w.wantSound()
		})
	}
}

// The name of a blob that cannot be synced is no reason to give the blob up.
func TestFolderThatCannotSync(t *testing.T) {
	w := newWorld(t, nil)
	b := content(1, 10_000)
	w.put(content(2, 1))
	syncs := 0
	w.folder.fault = func(op string) error {
		if op == "sync" {
			if syncs++; syncs > 1 { // the first is the file's
				return syscall.EIO
			}
		}
		return nil
	}
	must(t, os.MkdirAll(filepath.Dir(w.path(sum(b))), 0o700))
	w.put(b)
	w.folder.fault = nil
	w.wantHeld(sum(b), b)
	if w.events.of(w.events.failed, "sync") != 1 {
		t.Errorf("failed: %v", w.events.failed)
	}
}

// What cannot be unlinked is never served again, stays counted, and its name is free
// once the unlink works.
func TestDiskRefusesToRemove(t *testing.T) {
	w := newWorld(t, budget(4*4096))
	b, other := content(1, 2*4096), content(2, 3*4096)
	w.put(b)
	refuse := func(op string) error {
		if op == "remove" {
			return syscall.EIO
		}
		return nil
	}
	w.folder.fault = refuse
	if !w.Remove(sum(b)) {
		t.Error("nothing was removed")
	}
	if _, err := w.Store.Open(t.Context(), sum(b)); !errors.Is(err, ErrAbsent) {
		t.Errorf("Open of what was purged: %v", err)
	}
	if _, err := w.Create(sum(b), 1); !errors.Is(err, syscall.EIO) {
		t.Errorf("Create at its name: %v", err)
	}
	if _, err := w.Create(sum(other), 3*4096); !errors.Is(err, ErrNoRoom) {
		t.Errorf("Create in its room: %v", err)
	}
	w.wantSound()
	w.folder.fault = nil
	w.put(b)
	w.wantHeld(sum(b), b)
	if st := w.Stats(); st.Bytes != 2*4096 {
		t.Errorf("%+v", st)
	}

	w.folder.fault = refuse // an eviction that fails
	p, err := w.Create(sum(other), 3*4096)
	must(t, err)
	if _, err = p.WriteAt(other, 0); !errors.Is(err, ErrNoRoom) || !errors.Is(err, syscall.EIO) {
		t.Errorf("WriteAt: %v", err)
	}
	w.folder.fault = nil
	must(t, p.Close())
	w.wantSound()
	w = w.restart(true, budget(4*4096)) // finds the file, and counts it
	if st := w.Stats(); st.Bytes != 2*4096 {
		t.Errorf("after the restart: %+v", st)
	}
	w.put(other)
	w.wantHeld(sum(other), other)
}

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
				return int64(st.Bavail) * st.Bsize
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

// A folder that turned read-only: what is held is served, fills are refused.
func TestReadOnlyFolder(t *testing.T) {
	w := newWorld(t, budget(4*4096))
	b := content(1, 4*4096)
	d := w.put(b)
	w.folder.fault = func(op string) error {
		if op != "open" {
			return syscall.EROFS
		}
		return nil
	}
	for range 3 {
		if _, err := w.Create(sum([]byte("new")), 3); !errors.Is(err, syscall.EROFS) {
			t.Errorf("Create: %v", err)
		}
		w.wantHeld(d, b)
	}
	w.wantSound()
	w = w.restart(true, nil)
	w.wantHeld(d, b)
}
