package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// records in memory, as an index would keep them.
type records struct {
	mu    sync.Mutex
	blobs map[digest.Digest]fact
	clean bool
	puts  int
}

type fact struct {
	size           int64
	modified, used time.Time
}

func newRecords() *records { return &records{blobs: map[digest.Digest]fact{}, clean: true} }

func (r *records) Blobs(yield func(digest.Digest, int64, time.Time, time.Time)) {
	r.mu.Lock()
	known := maps.Clone(r.blobs)
	r.mu.Unlock()
	for d, f := range known {
		yield(d, f.size, f.modified, f.used)
	}
}

func (r *records) PutBlob(d digest.Digest, size int64, modified, used time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blobs[d] = fact{size, modified, used}
	r.puts++
}

func (r *records) DeleteBlob(d digest.Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.blobs, d)
}

func (r *records) Clean() bool { return r.clean }

func (r *records) fact(d digest.Digest) (fact, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f, ok := r.blobs[d]
	return f, ok
}

// tally counts events by their words.
type tally struct {
	mu                       sync.Mutex
	evicted, damaged, failed map[string]int
}

func newTally() *tally {
	return &tally{evicted: map[string]int{}, damaged: map[string]int{}, failed: map[string]int{}}
}

func (y *tally) count(m map[string]int, word string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	m[word]++
}

func (y *tally) of(m map[string]int, word string) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return m[word]
}

func (y *tally) Evicted(reason string, age time.Duration) {
	if age < 0 {
		reason = "negative age"
	}
	y.count(y.evicted, reason)
}
func (y *tally) Damaged(how string)      { y.count(y.damaged, how) }
func (y *tally) Failed(operation string) { y.count(y.failed, operation) }

// world is a Store on a folder, with all that it tells.
type world struct {
	*Store
	t       testing.TB
	dir     string
	lock    *Lock
	records *records
	events  *tally
}

func openWorld(t testing.TB, dir string, r *records, change func(*Options)) *world {
	t.Helper()
	lock, err := Take(t.Context(), dir, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: dir, lock: lock, records: r, events: newTally()}
	o := Options{Dir: dir, MaxSize: 64 << 20, Records: r, Events: w.events}
	if change != nil {
		change(&o)
	}
	w.Store, err = Open(lock, o)
	if err != nil {
		t.Fatal(err, lock.Close())
	}
	t.Cleanup(w.stop)
	return w
}

func newWorld(t testing.TB, change func(*Options)) *world {
	t.Helper()
	return openWorld(t, memoryDir(t), newRecords(), change)
}

// memoryDir is a folder in memory where there is one: most tests are not about how
// long a disk takes to sync.
func memoryDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "disk-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

func budget(bytes int64) func(*Options) { return func(o *Options) { o.MaxSize = bytes } }

// stop closes store and lock; stopping again does nothing.
func (w *world) stop() {
	if w.lock == nil {
		return
	}
	if err := errors.Join(w.Close(), w.lock.Close()); err != nil {
		w.t.Error(err)
	}
	w.lock = nil
}

// restart stops, and opens the folder again; clean as an index would tell it.
func (w *world) restart(clean bool, change func(*Options)) *world {
	w.t.Helper()
	w.stop()
	w.records.clean = clean
	return openWorld(w.t, w.dir, w.records, change)
}

// content is size bytes that depend on seed.
func content(seed uint64, size int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(b) // it never fails
	return b
}

func sum(b []byte) digest.Digest {
	return digest.NewDigestFromBytes(digest.SHA256, func() []byte { s := sha256.Sum256(b); return s[:] }())
}

// put keeps a blob, and closes the Partial.
func (w *world) put(b []byte) digest.Digest {
	w.t.Helper()
	d := sum(b)
	if err := put(w.Store, d, b, int64(len(b))); err != nil {
		w.t.Fatal(err)
	}
	return d
}

func put(s *Store, d digest.Digest, b []byte, size int64) (err error) {
	p, err := s.Create(d, size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	for at := 0; at < len(b); at += 10_000 {
		if _, err := p.WriteAt(b[at:min(at+10_000, len(b))], int64(at)); err != nil {
			return err
		}
	}
	return p.Commit()
}

// path of a blob's file, from the layout that operators know.
func (w *world) path(d digest.Digest) string {
	return filepath.Join(w.dir, "blobs", d.Algorithm().String(), d.Encoded()[:2], d.Encoded())
}

// wantHeld reads the blob and compares each byte.
func (w *world) wantHeld(d digest.Digest, want []byte) {
	w.t.Helper()
	b, err := w.Store.Open(w.t.Context(), d)
	if err != nil {
		w.t.Fatalf("open %s: %v", d, err)
	}
	defer func() { must(w.t, b.Close()) }()
	got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil || string(got) != string(want) {
		w.t.Fatalf("blob %s: %d bytes, %v: not what was written", d, len(got), err)
	}
}

func (w *world) wantAbsent(d digest.Digest) {
	w.t.Helper()
	if b, err := w.Store.Open(w.t.Context(), d); !errors.Is(err, ErrAbsent) {
		w.t.Fatalf("open %s: %v, %v; want absent", d, b, err)
	}
	if _, ok := w.Has(d); ok {
		w.t.Fatalf("%s is still told as present", d)
	}
	if _, err := os.Lstat(w.path(d)); !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatalf("the file of %s: %v; want none", d, err)
	}
}

// onDisk sums the blocks of all blobs and partials.
func onDisk(t testing.TB, dir string) (bytes int64) {
	t.Helper()
	for _, part := range []string{"blobs", "partial"} {
		err := filepath.WalkDir(filepath.Join(dir, part), func(_ string, of fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed while we walk
			}
			if err != nil || of.IsDir() {
				return err
			}
			info, err := of.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil {
				bytes += info.Sys().(*syscall.Stat_t).Blocks * 512
			}
			return err
		})
		must(t, err)
	}
	return bytes
}

// wantSound checks the ledger's sums against its parts.
func (w *world) wantSound() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.ledger
	var held, idle, parting, owed int64
	pinned := 0
	for _, e := range l.all() {
		held += l.rounded(e.size)
		if e.pins == 0 {
			idle += l.rounded(e.size)
		} else {
			pinned++
		}
	}
	for _, e := range l.leaving {
		held += l.rounded(e.size)
		if e.state == leaving && e.pins == 0 {
			parting += l.rounded(e.size)
		}
	}
	for _, p := range l.filling {
		held += p.bytes
		owed += p.promised - p.bytes
		if got := p.arrived.count() * l.block; got != p.bytes {
			w.t.Fatalf("a partial counts %d bytes, its blocks are %d", p.bytes, got)
		}
	}
	// Removed blobs that are still read are in held and pinned, and in no container.
	if l.held < held || l.idle != idle || l.parting != parting || l.owed != owed || l.pinned < pinned {
		w.t.Fatalf("ledger: held %d idle %d parting %d owed %d pinned %d; its parts: %d %d %d %d %d",
			l.held, l.idle, l.parting, l.owed, l.pinned, held, idle, parting, owed, pinned)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
