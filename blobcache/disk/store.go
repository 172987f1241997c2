package disk

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

// recordUse is how often at most a blob's last use is told to Records.
const recordUse = 5 * time.Minute

// Store is safe for use by many goroutines.
type Store struct {
	folder  *folder
	keep    func(total int64) int64 // bytes of a file system of that size that stay free
	records Records
	events  Events
	log     *zap.Logger

	life    context.Context // of verifications in the background
	end     context.CancelFunc
	tasks   sync.WaitGroup // whatever works on the folder; begun under mu, and not once closed
	hashing chan struct{}  // holds one for each verification in the background

	mu     sync.Mutex // guards what follows, and the fields of entries and Partials that say so
	ledger *ledger
	moved  *sync.Cond // a file was unlinked, or a commit ended
	checks map[key]*check
	closed bool
	looked time.Time // at the file system's free space
	unseen int64     // bytes claimed since
	told   map[string]time.Time
}

// Stats is a look at a [Store].
type Stats struct {
	Bytes    int64     // held: present, or arrived of what is being filled; in blocks
	Objects  int       // blobs present
	Budget   int64     // bytes that may be held now: MaxSize, or less where MinFree leaves less
	Promised int64     // bytes promised to fills that have not arrived yet
	Pinned   int       // blobs that somebody reads
	Oldest   time.Time // last use of the blob that goes next; zero when there is none
}

// Open reads the folder's names, not its content, and matches them with Records. A
// folder over its budget is brought within it. The error is a [*FormatError] where
// another version wrote the folder, else of the options or the disk.
func Open(lock *Lock, o Options) (*Store, error) {
	if err := o.check(lock); err != nil {
		return nil, err
	}
	s := &Store{
		folder: &folder{root: lock.root}, keep: o.keep,
		records: o.Records, events: o.Events, log: o.Log,
		hashing: make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
		checks:  make(map[key]*check), told: make(map[string]time.Time),
	}
	if s.events == nil {
		s.events = noEvents{}
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	s.moved = sync.NewCond(&s.mu)
	s.life, s.end = context.WithCancel(context.Background())
	if err := s.start(o.MaxSize); err != nil {
		s.end()
		return nil, fmt.Errorf("cache folder %s: %w", o.Dir, err)
	}
	return s, nil
}

// Close ends what the Store does in the background, waits for it, and tells Records
// when each blob was last used. Blobs that are open can be read on. What is still
// being filled is dropped by the next start.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.moved.Broadcast() // whoever waits for room learns it
	s.mu.Unlock()
	s.end()
	s.tasks.Wait()
	for k, e := range s.unrecorded() {
		s.records.PutBlob(k.digest(), e.size, time.Unix(0, e.modified), time.Unix(0, e.used))
	}
	return nil
}

// unrecorded are the blobs whose last use Records do not know.
func (s *Store) unrecorded() map[key]entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := make(map[key]entry)
	for k, e := range s.ledger.all() {
		if e.used != e.recorded {
			changed[k] = *e
		}
	}
	return changed
}

// begin registers work on the folder; false once the Store is closed. The caller
// calls s.tasks.Done. s.mu is held.
func (s *Store) begin() bool {
	if s.closed {
		return false
	}
	s.tasks.Add(1)
	return true
}

// Has tells whether the blob is present, and its size in bytes. It reads memory only;
// a blob found at start may still turn out to be damaged when it is opened.
func (s *Store) Has(d digest.Digest) (size int64, ok bool) {
	k, err := keyOf(d)
	if err != nil {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.ledger.blobs.Peek(k)
	if !ok {
		return 0, false
	}
	return e.size, true
}

// Touch notes that the blob was used, where it is present: it was served from
// memory, or its manifest was.
func (s *Store) Touch(d digest.Digest) {
	if k, err := keyOf(d); err == nil {
		_, _ = s.use(k, false) // what is absent needs no note
	}
}

// use finds a blob, makes it the most recently used, and pins it if told to.
func (s *Store) use(k key, pin bool) (*entry, error) {
	s.mu.Lock()
	e, err := s.find(k)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	s.ledger.blobs.Get(k)
	if pin {
		s.ledger.pin(e)
	}
	now := time.Now()
	e.used = now.UnixNano()
	due := e.used-e.recorded >= int64(recordUse)
	if due {
		e.recorded = e.used
	}
	size, modified := e.size, e.modified
	s.mu.Unlock()
	if due {
		s.records.PutBlob(k.digest(), size, time.Unix(0, modified), now)
	}
	return e, nil
}

// find a blob that is present. s.mu is held.
func (s *Store) find(k key) (*entry, error) {
	if s.closed {
		return nil, ErrClosed
	}
	if e, ok := s.ledger.blobs.Peek(k); ok {
		return e, nil
	}
	return nil, ErrAbsent
}

// All is a snapshot of the blobs that are present, oldest use first. It may be slow.
func (s *Store) All(yield func(d digest.Digest, size int64, used time.Time) bool) {
	type blob struct {
		key        key
		size, used int64
	}
	s.mu.Lock()
	snapshot := make([]blob, 0, s.ledger.blobs.Len())
	for k, e := range s.ledger.all() {
		snapshot = append(snapshot, blob{k, e.size, e.used})
	}
	s.mu.Unlock()
	for _, b := range snapshot {
		if !yield(b.key.digest(), b.size, time.Unix(0, b.used)) {
			return
		}
	}
}

// Stats looks at the Store, and at what its file system has free.
func (s *Store) Stats() Stats {
	s.lookWhenDue()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.ledger
	st := Stats{
		Bytes: l.held, Objects: l.blobs.Len(), Budget: max(0, l.budget()),
		Promised: l.owed, Pinned: l.pinned,
	}
	if _, e, ok := l.blobs.GetOldest(); ok {
		st.Oldest = time.Unix(0, e.used)
	}
	return st
}

// failed tells that the disk refused an operation: by an event each time, in the log
// once a minute, since a disk that is broken refuses everything.
func (s *Store) failed(operation string, err error) {
	s.events.Failed(operation)
	now := time.Now()
	s.mu.Lock()
	last, before := s.told[operation]
	quiet := before && now.Sub(last) < time.Minute
	if !quiet {
		s.told[operation] = now
	}
	s.mu.Unlock()
	if !quiet {
		s.log.Error("the cache's disk refused an operation", zap.String("operation", operation), zap.Error(err))
	}
}
