package blobcache_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"breakwater/blobcache"
	"breakwater/blobcache/fill"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

var quiet = zap.NewNop()

// world is a cache with what it told.
type world struct {
	*testing.T
	*blobcache.Cache
	events  *events
	options blobcache.Options
}

// open opens a cache on a folder; "" is one in memory only.
func open(t *testing.T, dir string, change ...func(*blobcache.Options)) *world {
	t.Helper()
	w := &world{T: t, events: &events{}}
	w.options = blobcache.Options{Dir: dir, MaxSize: 1 << 30, Memory: 16 * mib, LockWait: 5 * time.Second, Events: w.events, Log: quiet}
	for _, c := range change {
		c(&w.options)
	}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) start() {
	w.Helper()
	var err error
	if w.Cache, err = blobcache.Open(w.Context(), w.options); err != nil {
		w.Fatal(err)
	}
}

// stop closes the cache, once.
func (w *world) stop() {
	w.Helper()
	if w.Cache == nil {
		return
	}
	if err := w.Close(); err != nil {
		w.Error(err)
	}
	w.Cache = nil
}

// restart closes the cache and opens it on the same folder.
func (w *world) restart() {
	w.Helper()
	w.stop()
	w.start()
}

// path is where the file of a blob is.
func (w *world) path(d digest.Digest) string {
	return filepath.Join(w.options.Dir, "blobs", "sha256", d.Encoded()[:2], d.Encoded())
}

// onDisk is what the files of blobs, those under way included, really take: bytes in
// blocks of 4 KiB, which is what every file system of tests has.
func (w *world) onDisk() (files int, size int64) {
	w.Helper()
	for _, folder := range []string{"blobs", "partial"} {
		err := filepath.WalkDir(filepath.Join(w.options.Dir, folder), func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return ignoreGone(err)
			}
			info, err := d.Info()
			if err != nil {
				return ignoreGone(err)
			}
			files++
			size += (info.Size() + 4*kib - 1) / (4 * kib) * (4 * kib)
			return nil
		})
		if err != nil {
			w.Fatal(err)
		}
	}
	return files, size
}

// wantFiles waits until so many files are there: those of transfers that ended go a
// moment later.
func (w *world) wantFiles(want int) {
	w.Helper()
	files, size := w.onDisk()
	for range 2000 {
		if files == want {
			return
		}
		time.Sleep(5 * time.Millisecond)
		files, size = w.onDisk()
	}
	w.Errorf("%d files of %d bytes, want %d files", files, size, want)
}

// ignoreGone is for files that leave while they are counted.
func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// fetch joins, and reads the whole as a client does.
func (w *world) fetch(from *repository, d digest.Digest) ([]byte, blobcache.How, error) {
	blob, how, err := w.Join(w.Context(), d, from.source(d))
	if err != nil {
		return nil, how, err
	}
	defer func() { _ = blob.Close() }() // of what is read
	body, err := all(w.Context(), blob)
	return body, how, err
}

// fetched is fetch that must succeed.
func (w *world) fetched(from *repository, d digest.Digest) blobcache.How {
	w.Helper()
	body, how, err := w.fetch(from, d)
	if err != nil || digest.FromBytes(body) != d {
		w.Fatalf("%s: %d bytes, %v", d, len(body), err)
	}
	w.settled(d)
	return how
}

// settled waits until the transfer of d has ended.
func (w *world) settled(d digest.Digest) {
	w.Helper()
	for range 2000 {
		if !w.Filling(d) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.Fatalf("the transfer of %s does not end", d)
}

// holds tells whether the cache gives the right bytes of d.
func (w *world) holds(d digest.Digest) bool {
	w.Helper()
	blob, ok := w.Cache.Open(w.Context(), d)
	if !ok {
		return false
	}
	defer func() { _ = blob.Close() }()
	body, err := all(w.Context(), blob)
	if err != nil || digest.FromBytes(body) != d || !blob.Held() {
		w.Errorf("%s is held, but gives %d bytes, %v", d, len(body), err)
	}
	return true
}

func all(ctx context.Context, blob blobcache.Content) ([]byte, error) {
	section := blob.Section(ctx, 0, -1, true)
	defer func() { _ = section.Close() }()
	return io.ReadAll(section)
}

// content makes the bytes of a number: others for each.
func content(number, size int) (digest.Digest, []byte) {
	body := make([]byte, size)
	var seed [32]byte
	copy(seed[:], fmt.Sprint(number, "/", size))
	_, _ = rand.NewChaCha8(seed).Read(body) // does not fail
	return digest.FromBytes(body), body
}

// repository is a place upstream that has blobs.
type repository struct {
	name string

	mu      sync.Mutex
	blobs   map[digest.Digest][]byte
	refuse  error         // what it says to everything
	wrong   bool          // a byte in the middle is another
	hold    chan struct{} // bodies stop in their middle until it is closed
	fetches int
	proofs  int
	sent    int64
}

func newRepository(name string) *repository {
	return &repository{name: name, blobs: make(map[digest.Digest][]byte)}
}

// push makes a blob.
func (r *repository) push(number, size int) digest.Digest {
	d, body := content(number, size)
	r.set(func() { r.blobs[d] = body })
	return d
}

func (r *repository) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// asked are the questions so far: transfers, and proofs.
func (r *repository) asked() (fetches, proofs int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.fetches, r.proofs
}

func (r *repository) source(d digest.Digest) fill.Source { return source{r, d} }

type source struct {
	*repository
	digest digest.Digest
}

func (s source) Key() string { return s.name }

func (s source) Prove(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proofs++
	return s.refuse
}

func (s source) Fetch(ctx context.Context, offset, n int64) (fill.Part, error) {
	if err := ctx.Err(); err != nil {
		return fill.Part{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetches++
	if s.refuse != nil {
		return fill.Part{}, &fill.Refusal{Err: s.refuse}
	}
	whole := s.blobs[s.digest]
	if s.wrong {
		whole = bytes.Clone(whole)
		whole[len(whole)/2] ^= 1
	}
	rest := whole[offset:]
	if n >= 0 {
		rest = rest[:min(n, int64(len(rest)))]
	}
	return fill.Part{Body: &body{ctx: ctx, from: s.repository, rest: rest, until: len(rest) / 2, hold: s.hold}, Offset: offset, Size: int64(len(whole))}, nil
}

// body is a blob that comes in two halves.
type body struct {
	ctx   context.Context
	from  *repository
	rest  []byte
	until int // what is left when it stops
	hold  <-chan struct{}
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	if b.hold != nil && len(b.rest) <= b.until {
		select {
		case <-b.hold:
			b.hold = nil
		case <-b.ctx.Done():
			return 0, b.ctx.Err()
		}
	}
	if b.hold != nil {
		p = p[:min(len(p), len(b.rest)-b.until)]
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	b.from.set(func() { b.from.sent += int64(n) })
	return n, nil
}

func (b *body) Close() error { return nil }

// events remembers what was told, in words.
type events struct {
	mu   sync.Mutex
	said []string
}

func (e *events) say(format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said = append(e.said, fmt.Sprintf(format, args...))
}

// told counts what was told in those words.
func (e *events) told(what string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, said := range e.said {
		if said == what {
			n++
		}
	}
	return n
}

func (e *events) Evicted(reason string, _ time.Duration) { e.say("evicted %s", reason) }
func (e *events) Damaged(how string)                     { e.say("damaged %s", how) }
func (e *events) Failed(operation string)                { e.say("failed %s", operation) }
func (e *events) FillEnded(result string, _ int64)       { e.say("fill %s", result) }
func (e *events) Joined()                                { e.say("joined") }
func (e *events) Resumed()                               { e.say("resumed") }
func (e *events) SegmentFetched()                        { e.say("segment") }
func (e *events) Bypassed(reason string)                 { e.say("bypassed %s", reason) }
func (e *events) Received(int)                           {}
func (e *events) IndexDamaged()                          { e.say("index damaged") }
func (e *events) IndexFailed(operation string)           { e.say("index failed %s", operation) }
