package index

import (
	"cmp"
	"errors"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

// A Repository is one repository of one upstream.
type Repository struct {
	Origin string // scheme, host and port, as https://harbor.example.com:443
	Name   string
}

// Longest texts that are kept, in bytes. Repository names are at most 255 by the
// OCI distribution specification, tags 128; a media type's two halves are at most
// 127 each (RFC 6838 §4.2).
const (
	longestName      = 512
	longestTag       = 255
	longestMediaType = 255
)

func (r Repository) valid() bool {
	return r.Name != "" && len(r.Name) <= longestName && len(r.Origin) <= longestName
}

func validTag(name string) bool { return name != "" && len(name) <= longestTag }

// Kind is what a digest was asked for as.
type Kind byte

// The kinds of content. Their numbers are written to disk.
const (
	Manifest Kind = 1
	Blob     Kind = 2
)

// Epoch counts the revocations of a repository. What was learnt under one epoch is
// worth nothing in the next.
type Epoch uint64

// Options say where the index is kept and who is told.
type Options struct {
	// Path is the index's file; the journal, the hourly copy and what was damaged
	// are beside it and begin with its name. Empty: memory only.
	Path   string
	Events Events      // may be nil
	Log    *zap.Logger // may be nil

	// Of tests: called before each step on the disk, and other times than ours.
	fault                  func(step string) error
	batchDelay, copyPeriod time.Duration
}

// Events are what an operator should know.
type Events interface {
	// IndexDamaged: a file was not what had been written, and was replaced.
	IndexDamaged()
	// IndexFailed: the disk refused. operation is "journal", "batch", "copy" or
	// "rebuild".
	IndexFailed(operation string)
}

type silent struct{}

func (silent) IndexDamaged()      {}
func (silent) IndexFailed(string) {}

// ErrClosed is returned by every denial after [Index.Close].
var ErrClosed = errors.New("the index is closed")

// An Index answers from memory what may be served. All methods are safe for
// concurrent use.
type Index struct {
	options Options
	clean   bool
	trouble trouble

	mu     sync.RWMutex // guards state and closed; never held over the disk
	state  *state
	closed bool

	dirty chan struct{} // the state has a batch
	stop  chan struct{}
	ended chan struct{}
	close func() error

	// Of the writing goroutine. Both nil when in memory only; file is nil also
	// while it cannot be made.
	file    *file
	journal *journal
	changed bool          // since the last copy, or none was taken yet
	pause   time.Duration // before the next attempt
}

// Stats are sizes, and what was refused for want of room since Open.
type Stats struct {
	Links, Tags, Repositories, Blocks int
	Discarded                         uint64
}

// MaxTags and MaxLinks bound what is kept; puts beyond are discarded, and counted.
const (
	MaxTags  = 1_000_000
	MaxLinks = 4_000_000

	maxRepositories = 500_000
	maxPending      = 1_000_000 // records that the disk did not take yet
)

// Open reads the index at o.Path, or begins one. A damaged file is renamed aside
// (three are kept), and the hourly copy or an empty one is taken in its place. It
// fails with a [*FormatError] on a file of a newer version, and where the disk
// takes no file; the caller may then go on with an empty path.
func Open(o Options) (*Index, error) {
	return open(withDefaults(o), limits{links: MaxLinks, tags: MaxTags, repositories: maxRepositories, pending: maxPending})
}

// withDefaults fills in what was left out.
func withDefaults(o Options) Options {
	if o.Events == nil {
		o.Events = silent{}
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.fault == nil {
		o.fault = func(string) error { return nil }
	}
	o.batchDelay, o.copyPeriod = cmp.Or(o.batchDelay, batchDelay), cmp.Or(o.copyPeriod, copyPeriod)
	return o
}

func open(o Options, l limits) (*Index, error) {
	x := &Index{
		options: o,
		trouble: trouble{events: o.Events, log: o.Log},
		state:   newState(l),
		dirty:   make(chan struct{}, 1),
		stop:    make(chan struct{}),
		ended:   make(chan struct{}),
	}
	x.close = sync.OnceValue(x.shut)
	if o.Path == "" {
		x.state.batch.off = true
		close(x.ended)
		return x, nil
	}
	if err := x.restore(); err != nil {
		return nil, err
	}
	go x.journal.run()
	go x.run()
	x.wake() // what the start found out is written too
	return x, nil
}

// Clean tells whether the last stop was an orderly one: read by Open.
func (x *Index) Clean() bool { return x.clean }

// Close writes what is not written yet, and marks the stop as clean. Questions are
// answered still; grants are discarded and denials refused.
func (x *Index) Close() error { return x.close() }

func (x *Index) shut() error {
	x.locked(func() { x.closed = true })
	close(x.stop)
	<-x.ended
	if x.journal == nil {
		return nil
	}
	err := errors.Join(x.journal.close(), x.flush())
	if x.file == nil {
		return errors.Join(err, errors.New("there is no index file"))
	}
	if err = errors.Join(err, x.file.close()); err != nil {
		return err
	}
	return writeMark(x.options.Path, x.state.seq)
}

// locked runs do with the state locked.
func (x *Index) locked(do func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	do()
}

// wake tells the writing goroutine that there is a batch.
func (x *Index) wake() {
	select {
	case x.dirty <- struct{}{}:
	default:
	}
}

// Epoch returns a repository's. It is asked for before upstream is, and given with
// what upstream said.
func (x *Index) Epoch(r Repository) Epoch {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.state.epoch(r)
}

// Stats returns the present sizes.
func (x *Index) Stats() Stats {
	x.mu.RLock()
	defer x.mu.RUnlock()
	s := x.state
	return Stats{Links: s.links, Tags: s.tags, Repositories: len(s.repositories), Blocks: len(s.blocks), Discarded: s.discarded}
}

// Revoke begins the next epoch of a repository: its links and tags are gone, and
// what was begun under the former epoch will be discarded. It returns when that is
// durable; in memory it holds whatever the error.
func (x *Index) Revoke(r Repository) error { return x.deny(denial{operation: revoke, repository: r}) }

// deny applies a denial to memory and returns when the journal has it. An error
// says that it would not outlive a crash yet; it is tried again with the batches.
func (x *Index) deny(d denial) error {
	if !d.plausible() {
		return errors.New("index: not a repository or digest: " + d.repository.Name)
	}
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		return ErrClosed
	}
	if d.operation == revoke {
		d.epoch = x.state.epoch(d.repository) + 1
	}
	x.state.seq++
	d.seq = x.state.seq
	x.state.apply(d)
	var written <-chan error
	if x.journal != nil {
		written = x.journal.add(d)
	}
	x.mu.Unlock()
	if written == nil {
		return nil
	}
	x.wake()
	return x.trouble.note("journal", <-written)
}

// denyDigest is deny for a digest, which may be none.
func (x *Index) denyDigest(d denial, of digest.Digest) error {
	k, ok := keyOf(of)
	if !ok {
		return digest.ErrDigestInvalidFormat
	}
	d.key = k
	return x.deny(d)
}
