package fill

import (
	"context"
	"errors"
	"hash"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

// grace is how long a fill goes on without a reader: a client that lost its
// connection comes again.
const grace = 30 * time.Second

// File is where bytes are kept: sparse, and written and read at the same time.
type File interface {
	io.ReaderAt
	io.WriterAt
	Commit() error // all bytes are there and verified: make them durable and present
	Close() error  // nobody reads any more; what was not committed is dropped
}

// Events are what a fill tells metrics of.
type Events interface {
	FillEnded(result string, received int64) // result is one of the Result constants; received from upstream, in bytes
	Joined()                                 // a reader came to a fill that somebody else began
	Resumed()                                // a broken transfer goes on
	SegmentFetched()                         // a part far ahead was brought
	Bypassed(reason string)                  // the file was given up: "room" or "disk"
	Received(n int)                          // bytes from upstream, those read twice included
}

// The results of a fill.
const (
	ResultStored    = "stored"
	ResultMismatch  = "mismatch"  // wrong bytes came
	ResultRefused   = "refused"   // by every source
	ResultFailed    = "failed"    // upstream did not mend
	ResultAbandoned = "abandoned" // nobody waited any more, or the cache was closed
	ResultBypassed  = "bypassed"  // the disk, not upstream, was at fault: readers got their bytes
)

// Options of a [Fill]. Digest and Create are required.
type Options struct {
	Digest digest.Digest // valid
	// Create is called once, when the size in bytes is known, or known to be unknown
	// (-1). Its error makes every reader go past the cache.
	Create func(size int64) (File, error)
	// NoRoom is the error by which Create and File say that there is no room, apart
	// from the system's own (ENOSPC, EDQUOT).
	NoRoom error
	// Unwanted is the error by which File says that it is not to be kept any more.
	Unwanted error
	// Ended is called exactly once, when the fill takes no more readers: the owner
	// forgets it. Those who read then read on.
	Ended  func()
	Events Events
	Log    *zap.Logger

	smaller int64 // tests make all distances so many times smaller
}

func (o *Options) scale() int64 { return max(1, o.smaller) }

// Fill is one blob under way. It is safe for use by many goroutines.
type Fill struct {
	options  Options
	life     context.Context // the owner's
	ctx      context.Context // ends with life, when abandoned, and when the last reader has left
	cancel   context.CancelFunc
	sources  *sources
	first    *origin
	received atomic.Int64
	segments sync.WaitGroup

	opened  chan struct{} // closed when upstream's headers are there
	failed  chan struct{} // closed when failure is set
	ended   chan struct{} // closed when the owner was told
	drained chan struct{} // closed when it takes no more readers and none is left
	gone    chan struct{} // closed when every goroutine is

	hash   hash.Hash // of the first hashed bytes; both are the main stream's alone
	hashed int64

	reads sync.WaitGroup // of the file, under way; added to under mu, until closed

	mu sync.Mutex // guards all below
	audience
	progress
}

// progress is what there is of a blob.
type progress struct {
	size     int64 // -1: not known yet
	file     File  // nil: none could be made
	closed   bool  // the file is
	have     intervals
	front    int64 // where the main stream is
	rate     meter // its
	claims   []*claim
	verified bool    // all is there, and right
	cutoff   *cutoff // set when the file was given up
	damaged  bool    // the file could not be read
	failure  error
	waiters  map[*waiter]struct{}

	segmentLife context.Context // nil: no segment begins
}

// New begins to fetch a blob from first. life is the owner's: its end ends
// everything. The caller's Join is expected next, and gets the outcome however quick
// it was.
func New(life context.Context, o Options, first Source) *Fill {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Events == nil {
		o.Events = silent{}
	}
	f := &Fill{
		options: o, life: life, sources: newSources(first), hash: newHash(o.Digest),
		opened: make(chan struct{}), failed: make(chan struct{}), ended: make(chan struct{}),
		drained: make(chan struct{}), gone: make(chan struct{}),
		audience: audience{expected: true, idleSince: time.Now()},
		progress: progress{size: -1, waiters: make(map[*waiter]struct{})},
	}
	f.first = f.sources.known(first.Key())
	f.ctx, f.cancel = context.WithCancel(life)
	f.patience = time.AfterFunc(grace, f.expire)
	go f.run()
	return f
}

// Wait returns when nothing of the fill runs any more and its file is closed: after
// it ended and its last reader has left, or after the end of life.
func (f *Fill) Wait() { <-f.gone }

// run owns the fill from its beginning to its end.
func (f *Fill) run() {
	defer close(f.gone)
	defer f.cancel()
	f.conclude(f.fetch())
	f.keepSpare()
	select {
	case <-f.drained:
	case <-f.life.Done():
	}
	f.fail(context.Cause(f.life)) // for those who read on after the end of life
	f.patience.Stop()
	f.closeFile()
}

// conclude tells everybody how fetching ended.
func (f *Fill) conclude(err error) {
	result := ResultFailed
	storage, disk := errors.AsType[*storageError](err)
	_, wrong := errors.AsType[*MismatchError](err)
	refused := err != nil && f.sources.none()
	switch {
	case err == nil:
		f.sources.judge(true)
		result = f.store()
	case disk:
		f.giveUp(storage.Err, storage.spare)
		result = ResultBypassed
	case f.ctx.Err() != nil:
		result = ResultAbandoned
	case wrong:
		result = ResultMismatch
		f.options.Log.Warn("upstream sent wrong bytes for a blob", zap.Stringer("digest", f.options.Digest))
		f.sources.judge(false)
	case refused:
		result = ResultRefused // its readers tell why
	default:
		f.options.Log.Warn("a blob cannot be had from upstream", zap.Stringer("digest", f.options.Digest), zap.Error(err))
	}
	f.fail(err)
	f.options.Events.FillEnded(result, f.received.Load())
	f.close()
	if f.options.Ended != nil {
		f.options.Ended()
	}
	close(f.ended)
}

// store keeps a verified blob. Its readers have the last bytes by now.
func (f *Fill) store() string {
	err := f.file.Commit()
	switch {
	case err == nil:
		return ResultStored
	case f.options.Unwanted != nil && errors.Is(err, f.options.Unwanted):
		return ResultAbandoned
	}
	f.warn("a blob could not be stored; its readers are served all the same", err)
	f.options.Events.Bypassed(f.reason(err))
	return ResultBypassed
}

// fail makes err the answer to everybody who waits for bytes that will not come. The
// first error stays; nil and the disk's are none.
func (f *Fill) fail(err error) {
	if _, disk := errors.AsType[*storageError](err); disk || err == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failure == nil {
		f.failure = err
		close(f.failed)
		f.wakeAll()
	}
}

// closeFile waits for the reads under way, which are of the disk only.
func (f *Fill) closeFile() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.reads.Wait()
	if f.file == nil {
		return
	}
	if err := f.file.Close(); err != nil {
		f.warn("a blob's file could not be closed", err)
	}
}

func (f *Fill) warn(what string, err error) {
	f.options.Log.Warn(what, zap.Stringer("digest", f.options.Digest), zap.Error(err))
}

// count notes bytes from upstream.
func (f *Fill) count(n int) {
	f.received.Add(int64(n))
	f.options.Events.Received(n)
}

// stream returns one that reads the blob from at on, on behalf of from.
func (f *Fill) stream(ctx context.Context, from *sources, at, end int64) *stream {
	return &stream{
		ctx: ctx, want: f.options.Digest, sources: from, count: f.count, resume: f.options.Events.Resumed,
		at: at, end: end, size: f.Size(),
	}
}

// Size of the blob in bytes; -1 as long as it is not known.
func (f *Fill) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// Arrived tells how many bytes of the blob have come, and its size: -1 as long as that
// is not known.
func (f *Fill) Arrived() (arrived, size int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.have {
		arrived += s.end - s.start
	}
	return arrived, f.size
}

type silent struct{}

func (silent) FillEnded(string, int64) {}
func (silent) Joined()                 {}
func (silent) Resumed()                {}
func (silent) SegmentFetched()         {}
func (silent) Bypassed(string)         {}
func (silent) Received(int)            {}
