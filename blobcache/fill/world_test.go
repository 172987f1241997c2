package fill_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/blobcache/fill"

	"github.com/opencontainers/go-digest"
)

const (
	kib = 1 << 10
	mib = 1 << 20
)

var errCut = errors.New("connection reset")

// plan is how upstream answers one request. The zero value: as asked.
type plan struct {
	err     error               // instead of an answer
	wait    time.Duration       // before the answer
	cut     int64               // the body ends after so many bytes …
	clean   bool                // … without an error
	stall   time.Duration       // before its end
	offset  func(n int64) int64 // where the answer begins instead
	size    func(n int64) int64 // what it says that the size is
	content []byte              // instead of the right one
}

// upstream is a model of a registry that has one blob.
type upstream struct {
	content  []byte
	rate     int // bytes per second and request; 0: at once
	noRanges bool
	plan     func(request int, offset, n int64) plan

	mu       sync.Mutex
	requests []string
	sent     int64
	open     int
}

func newUpstream(size int) *upstream {
	content := make([]byte, size)
	random := rand.NewChaCha8([32]byte{byte(size), 7})
	_, _ = random.Read(content)
	return &upstream{content: content}
}

func (u *upstream) digest() digest.Digest { return digest.FromBytes(u.content) }

// source is one repository of it.
type source struct {
	*upstream
	key    string
	prove  func(ctx context.Context) error
	refuse error // of Fetch
	proofs *int
}

func (u *upstream) source(key string) *source {
	return &source{upstream: u, key: key, proofs: new(int)}
}

func (s *source) Key() string { return s.key }

func (s *source) Prove(ctx context.Context) error {
	s.mu.Lock()
	*s.proofs++
	s.mu.Unlock()
	if s.prove != nil {
		return s.prove(ctx)
	}
	return nil
}

func (s *source) Fetch(ctx context.Context, offset, n int64) (fill.Part, error) {
	s.mu.Lock()
	number := len(s.requests)
	s.requests = append(s.requests, fmt.Sprintf("%s %d+%d", s.key, offset, n))
	refuse := s.refuse
	s.mu.Unlock()
	if refuse != nil {
		return fill.Part{}, &fill.Refusal{Err: refuse}
	}
	var p plan
	if s.plan != nil {
		p = s.plan(number, offset, n)
	}
	if err := sleep(ctx, p.wait); err != nil {
		return fill.Part{}, err
	}
	if p.err != nil {
		return fill.Part{}, p.err
	}
	return s.answer(ctx, p, offset, n), nil
}

func (s *source) answer(ctx context.Context, p plan, offset, n int64) fill.Part {
	content, size := s.content, int64(len(s.content))
	if p.content != nil {
		content = p.content
	}
	if p.size != nil {
		size = p.size(size)
	}
	if s.noRanges {
		offset, n = 0, -1
	}
	rest := content[min(offset, int64(len(content))):]
	if n >= 0 {
		rest = rest[:min(n, int64(len(rest)))]
	}
	if p.offset != nil {
		offset = p.offset(offset)
	}
	s.mu.Lock()
	s.open++
	s.mu.Unlock()
	b := &body{source: s, ctx: ctx, rest: rest, plan: p, left: int64(len(rest))}
	if p.cut > 0 {
		b.left = min(b.left, p.cut)
	}
	b.whole = b.left == int64(len(rest))
	return fill.Part{Body: b, Offset: offset, Size: size}
}

type body struct {
	source *source
	ctx    context.Context
	plan   plan
	rest   []byte
	left   int64
	whole  bool
	closed bool
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.closed {
		return 0, os.ErrClosed
	}
	if b.left == 0 {
		if err := sleep(b.ctx, b.plan.stall); err != nil {
			return 0, err
		}
		if b.whole || b.plan.clean {
			return 0, io.EOF
		}
		return 0, errCut
	}
	n := copy(p[:min(int64(len(p)), b.left, 100_000)], b.rest)
	if b.source.rate > 0 {
		n = min(n, max(1, b.source.rate/20))
		if err := sleep(b.ctx, time.Duration(n)*time.Second/time.Duration(b.source.rate)); err != nil {
			return 0, err
		}
	}
	b.rest, b.left = b.rest[n:], b.left-int64(n)
	b.source.mu.Lock()
	b.source.sent += int64(n)
	b.source.mu.Unlock()
	return n, nil
}

func (b *body) Close() error {
	if b.closed {
		return os.ErrClosed
	}
	b.closed = true
	b.source.mu.Lock()
	b.source.open--
	b.source.mu.Unlock()
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (u *upstream) saw() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.requests...)
}

func (u *upstream) opened() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.open
}

func (u *upstream) bytesSent() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sent
}

// file is a fill.File in memory. It may be full.
type file struct {
	mu        sync.RWMutex
	bytes     []byte
	room      int64 // bytes that may be written; -1: all
	broken    error // of reading
	commitErr error
	committed bool
	closed    int
}

var errNoRoom = errors.New("no room")

func (f *file) WriteAt(p []byte, at int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed > 0 {
		return 0, os.ErrClosed
	}
	if f.room >= 0 && int64(len(p)) > f.room {
		return 0, fmt.Errorf("write: %w", errNoRoom)
	}
	if f.room >= 0 {
		f.room -= int64(len(p))
	}
	if end := at + int64(len(p)); end > int64(len(f.bytes)) {
		if end > int64(cap(f.bytes)) {
			f.bytes = append(make([]byte, 0, max(2*end, 1*mib)), f.bytes...)
		}
		f.bytes = f.bytes[:end]
	}
	return copy(f.bytes[at:], p), nil
}

func (f *file) ReadAt(p []byte, at int64) (int, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed > 0 {
		return 0, os.ErrClosed
	}
	if f.broken != nil {
		return 0, f.broken
	}
	n := copy(p, f.bytes[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) Commit() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.committed = f.commitErr == nil
	return f.commitErr
}

func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	return nil
}

// world is one fill with all that is round it.
type world struct {
	*testing.T
	up    *upstream
	file  *file
	sizes []int64 // that Create was told
	noDir error   // of Create
	life  context.Context
	end   context.CancelFunc
	fill  *fill.Fill

	mu     sync.Mutex
	events map[string]int
	order  []string
	bytes  int64
}

func newWorld(t *testing.T, up *upstream) *world {
	w := &world{T: t, up: up, file: &file{room: -1}, events: make(map[string]int)}
	w.life, w.end = context.WithCancel(t.Context())
	return w
}

func (w *world) begin(first fill.Source) {
	w.fill = fill.New(w.life, w.options(), first)
}

// beginNear begins a fill that has segments in a small blob, too.
func (w *world) beginNear(first fill.Source) {
	w.fill = fill.New(w.life, w.options().Smaller(), first)
}

func (w *world) options() fill.Options {
	return fill.Options{
		Digest: w.up.digest(),
		Create: func(size int64) (fill.File, error) {
			w.sizes = append(w.sizes, size)
			if w.noDir != nil {
				return nil, w.noDir
			}
			return w.file, nil
		},
		NoRoom: errNoRoom,
		Ended:  func() { w.note("ended") },
		Events: w,
	}
}

func (w *world) note(event string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events[event]++
	w.order = append(w.order, event)
}

func (w *world) FillEnded(result string, received int64) {
	if received != w.received() {
		w.Errorf("FillEnded tells %d bytes, %d were received", received, w.received())
	}
	w.note("result " + result)
}
func (w *world) Joined()                { w.note("joined") }
func (w *world) Resumed()               { w.note("resumed") }
func (w *world) SegmentFetched()        { w.note("segment") }
func (w *world) Bypassed(reason string) { w.note("bypassed " + reason) }
func (w *world) Received(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes += int64(n)
}

func (w *world) received() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes
}

func (w *world) count(event string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.events[event]
}

func (w *world) join(from fill.Source) *fill.Reader {
	w.Helper()
	r, err := w.fill.Join(w.Context(), from)
	if err != nil {
		w.Fatalf("join: %v", err)
	}
	return r
}

// outcome is what one section gave.
type outcome struct {
	n     int64
	wrong bool // not the bytes of the blob
	err   error
	first time.Duration // until the first byte
}

// read reads a section to its end and closes it.
func (w *world) read(r *fill.Reader, offset, n int64, verified bool) outcome {
	return w.readFor(w.Context(), r, offset, n, verified)
}

func (w *world) readFor(ctx context.Context, r *fill.Reader, offset, n int64, verified bool) outcome {
	begin := time.Now()
	section := r.Section(ctx, offset, n, verified)
	defer section.Close()
	var o outcome
	for buffer := make([]byte, 100_000); ; {
		n, err := section.Read(buffer)
		if o.n == 0 && n > 0 {
			o.first = time.Since(begin)
		}
		at := offset + o.n
		end := at + int64(n)
		o.wrong = o.wrong || end > int64(len(w.up.content)) || !bytes.Equal(buffer[:n], w.up.content[at:end])
		o.n += int64(n)
		if err != nil {
			if err != io.EOF {
				o.err = err
			}
			return o
		}
	}
}

// whole reads the blob as a client does that wants all of it.
func (w *world) whole(r *fill.Reader) {
	w.Helper()
	w.right(w.read(r, 0, -1, true), int64(len(w.up.content)))
}

// right checks that n bytes came, and the right ones.
func (w *world) right(o outcome, n int64) {
	w.Helper()
	if o.err != nil || o.wrong || o.n != n {
		w.Errorf("%d bytes, wrong: %v, error: %v; want %d bytes", o.n, o.wrong, o.err, n)
	}
}

// incomplete checks that a client that wanted all of a blob did not get it, of which
// length bytes came from upstream.
func (w *world) incomplete(o outcome, length int) {
	w.Helper()
	if o.err == nil {
		w.Errorf("a body of %d bytes came to its end, want an error", o.n)
	}
	if free := max(0, length-64*kib); o.n > int64(free) {
		w.Errorf("%d bytes came of a blob that is wrong, want at most %d", o.n, free)
	}
}

// results is how often the fill told how it ended.
func (w *world) results() int {
	n := 0
	for _, result := range []string{
		fill.ResultStored, fill.ResultMismatch, fill.ResultFailed, fill.ResultRefused, fill.ResultAbandoned, fill.ResultBypassed,
	} {
		n += w.count("result " + result)
	}
	return n
}

// finish checks that everything has come to rest.
func (w *world) finish(result string) {
	w.Helper()
	w.fill.Wait()
	synctest.Wait()
	w.end()
	if w.count("result "+result) != 1 || w.count("ended") != 1 {
		w.Errorf("events %v, want %q once, and one end", w.order, result)
	}
	if stored := result == fill.ResultStored; w.file.committed != stored {
		w.Errorf("result %s, committed %v, events %v", result, w.file.committed, w.order)
	}
	if w.noDir == nil && len(w.sizes) > 0 && w.file.closed != 1 {
		w.Errorf("the file was closed %d times", w.file.closed)
	}
	if len(w.sizes) > 1 {
		w.Errorf("Create was called with sizes %v, want once", w.sizes)
	}
	if w.up.opened() != 0 {
		w.Errorf("%d bodies are still open", w.up.opened())
	}
}

// bubble runs a test in fake time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}
