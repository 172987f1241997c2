package disk

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"

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

// A look at the disk in the middle of an eviction, which finds room for all, does not
// make the eviction wait for another one that is not there.
func TestLookDuringEviction(t *testing.T) {
	w := newWorld(t, nil)
	for i := range uint64(4) {
		w.put(content(i, 4096))
	}
	w.folder.fault = func(op string) error {
		if op == "remove" {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.ledger.limit = math.MaxInt64
		}
		return nil
	}
	if !w.freeDisk(3 * 4096) {
		t.Error("nothing was evicted")
	}
	if got := w.Stats(); got.Objects != 1 || w.events.of(w.events.evicted, "free") != 3 {
		t.Errorf("%+v, evicted %v", got, w.events.evicted)
	}
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
