package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// What a start makes of a file, by what is remembered of it: served as it is, or
// hashed first.
func TestStart(t *testing.T) {
	b := content(1, 10_000)
	wrong := content(2, 10_000)
	for _, c := range []struct {
		name    string
		clean   bool
		between func(*world)
		hashed  bool // shown by whether a wrong file of the right size and date is served
	}{
		{"after an orderly stop", true, func(*world) {}, false},
		{"after a crash", false, func(*world) {}, true},
		{"not remembered", true, func(w *world) { w.records.DeleteBlob(sum(b)) }, true},
		{"remembered with another size", true, func(w *world) { w.remember(sum(b), func(f *fact) { f.size++ }) }, true},
		{"remembered with another date", true, func(w *world) { w.remember(sum(b), func(f *fact) { f.modified = time.Unix(5, 0) }) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.t = t
			d := w.put(b)
			w.stop()
			c.between(w)
			w = w.restart(c.clean, nil)
			if size, ok := w.Has(d); !ok || size != 10_000 {
				t.Errorf("Has: %d, %t", size, ok)
			}
			w.wantHeld(d, b)

			w.stop()
			w.records.clean = true
			c.between(w)
			info, err := os.Stat(w.path(d))
			must(t, err)
			must(t, os.WriteFile(w.path(d), wrong, 0o600))
			must(t, os.Chtimes(w.path(d), time.Time{}, info.ModTime()))
			w = w.restart(c.clean, nil)
			if c.hashed {
				w.wantAbsent(d)
				if w.events.of(w.events.damaged, "digest") != 1 {
					t.Errorf("damaged: %v", w.events.damaged)
				}
			} else {
				w.wantHeld(d, wrong)
			}
		})
	}
}

func (w *world) remember(d digest.Digest, change func(*fact)) {
	f, ok := w.records.fact(d)
	if !ok {
		w.t.Fatal("not remembered")
	}
	change(&f)
	w.records.PutBlob(d, f.size, f.modified, f.used)
}

// A blob that was not trusted at a start, and that nobody opened, is not trusted after
// an orderly stop either.
func TestDoubtOutlivesAnOrderlyStop(t *testing.T) {
	w := newWorld(t, nil)
	d := w.put(content(1, 10_000))
	info, err := os.Stat(w.path(d))
	must(t, err)
	must(t, os.WriteFile(w.path(d), content(2, 10_000), 0o600))
	must(t, os.Chtimes(w.path(d), time.Time{}, info.ModTime()))
	w = w.restart(false, nil)
	w.Touch(d)
	w = w.restart(true, nil)
	w = w.restart(true, nil)
	w.wantAbsent(d)
}

func TestStartDropsAndLeavesAlone(t *testing.T) {
	w := newWorld(t, nil)
	b := content(1, 10_000)
	d := w.put(b)
	gone := w.put(content(2, 10_000))
	partial, err := w.Create(sum([]byte("crashed")), 8)
	must(t, err)
	_, err = partial.WriteAt([]byte("cra"), 0)
	must(t, err)
	must(t, os.Remove(w.path(gone)))
	foreign := []string{
		"note.txt", "blobs/README", "blobs/sha256/zz/file", "partial/mine", "partial/sha256-abc.x",
		"blobs/sha256/00/" + d.Encoded(), // in the wrong folder
		"blobs/sha384/00/" + strings.Repeat("0", 96),
	}
	for _, name := range foreign {
		path := filepath.Join(w.dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		must(t, os.WriteFile(path, []byte("not ours"), 0o600))
	}
	linked := sum([]byte("secret"))
	must(t, os.MkdirAll(filepath.Dir(w.path(linked)), 0o700))
	must(t, os.Symlink("/etc/hostname", w.path(linked)))

	core, logged := observer.New(zap.WarnLevel)
	w = w.restart(true, func(o *Options) { o.Log = zap.New(core) })
	must(t, partial.Close())
	w.wantHeld(d, b)
	w.wantAbsent(gone)
	if _, ok := w.records.fact(gone); ok {
		t.Error("a blob without a file is still remembered")
	}
	if _, ok := w.Has(linked); ok {
		t.Error("a symbolic link counts as a blob")
	}
	for _, name := range foreign {
		if text, err := os.ReadFile(filepath.Join(w.dir, name)); err != nil || string(text) != "not ours" {
			t.Errorf("%s: %v", name, err)
		}
	}
	left, err := os.ReadDir(filepath.Join(w.dir, "partial"))
	must(t, err)
	if len(left) != 2 {
		t.Errorf("in partial: %v", left)
	}
	if logged.FilterMessageSnippet("not ours").Len() != 1 {
		t.Errorf("log: %v", logged.All())
	}
	if st := w.Stats(); st.Bytes != 12288 || st.Objects != 1 {
		t.Errorf("%+v", st)
	}
}

// A smaller budget than the last time holds from the start on, oldest out first.
func TestStartOverBudget(t *testing.T) {
	w := newWorld(t, nil)
	for i := range uint64(20) {
		w.put(content(i, 4096))
		time.Sleep(time.Microsecond) // two uses in one tick have no order
	}
	w = w.restart(true, budget(5*4096))
	if got := onDisk(t, w.dir); got != 5*4096 {
		t.Errorf("%d bytes on disk", got)
	}
	for i := range uint64(20) {
		if _, ok := w.Has(sum(content(i, 4096))); ok != (i >= 15) {
			t.Errorf("blob %d is held: %t", i, ok)
		}
	}
	w.wantSound()
}

func TestFormat(t *testing.T) {
	w := newWorld(t, nil)
	text, err := os.ReadFile(filepath.Join(w.dir, "FORMAT"))
	must(t, err)
	if string(text) != "breakwater blobs 1\n" {
		t.Errorf("FORMAT: %q", text)
	}
	w.stop()
	must(t, os.WriteFile(filepath.Join(w.dir, "FORMAT"), []byte("breakwater blobs 7\n"), 0o600))
	_, err = Take(t.Context(), w.dir, 0, nil) // before anything in the folder is touched
	var unknown *FormatError
	if !errors.As(err, &unknown) || unknown.Found != "breakwater blobs 7" || !strings.Contains(err.Error(), w.dir) {
		t.Errorf("Take: %v", err)
	}
}

func TestPermissions(t *testing.T) {
	dir := filepath.Join(memoryDir(t), "a", "b")
	w := openWorld(t, dir, newRecords(), nil)
	d := w.put(content(1, 10))
	for path, want := range map[string]os.FileMode{
		dir: 0o700, filepath.Dir(dir): 0o700, filepath.Dir(w.path(d)): 0o700, filepath.Join(dir, "partial"): 0o700,
		w.path(d): 0o600, filepath.Join(dir, "lock"): 0o600, filepath.Join(dir, "FORMAT"): 0o600,
	} {
		info, err := os.Stat(path)
		must(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

func TestOptions(t *testing.T) {
	dir := memoryDir(t)
	lock, err := Take(t.Context(), dir, 0, nil)
	must(t, err)
	defer func() { must(t, lock.Close()) }()
	good := Options{Dir: dir, MaxSize: 1, Records: newRecords()}
	for name, change := range map[string]func(*Options){
		"another folder":   func(o *Options) { o.Dir += "x" },
		"no size":          func(o *Options) { o.MaxSize = 0 },
		"all free":         func(o *Options) { o.MinFreePercent = 100 },
		"less than 0 free": func(o *Options) { o.MinFree = -1 },
		"no records":       func(o *Options) { o.Records = nil },
	} {
		o := good
		change(&o)
		if s, err := Open(lock, o); err == nil {
			t.Errorf("%s: opened, %v", name, s.Close())
		}
	}
	s, err := Open(lock, good)
	must(t, err)
	must(t, s.Close())
	if _, err := Take(t.Context(), "relative/dir", 0, nil); err == nil {
		t.Error("a relative folder was taken")
	}
}
