package index

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

const (
	// largeJournal makes the journal begin anew before the hour is over.
	largeJournal = 4 << 20
	// largestJournal bounds what is kept for a disk that takes nothing. Beyond it
	// the journal waits for the index to contain everything.
	largestJournal = 32 << 20
)

// A journal holds the denials since its base, and all blocks. Its goroutine owns
// the file; everybody who waits at the same time shares one fsync.
type journal struct {
	path  string
	fault func(step string) error
	large atomic.Bool // it should begin anew

	wake     chan struct{}
	restarts chan restart
	closed   chan struct{}
	ended    chan struct{}

	mu    sync.Mutex // guards queue
	queue []queued

	// Of the goroutine, and of open before it begins:
	file    *os.File
	seen    trace // the file as it was left
	written int   // of kept, are in the file
	content
}

// content is what a journal holds.
type content struct {
	base    uint64   // what an index must contain so that the journal completes it
	blocks  [][]byte // at the base
	kept    []entry  // since the base
	bytes   int      // of kept
	dropped uint64   // the newest denial that was not kept, 0: none
}

type queued struct {
	entry
	done chan<- error
}

// A restart asks for a journal that begins at base.
type restart struct {
	base   uint64
	blocks []key
	done   chan<- error
}

func newJournal(path string, fault func(string) error) *journal {
	return &journal{
		path: path, fault: fault,
		wake: make(chan struct{}, 1), restarts: make(chan restart),
		ended: make(chan struct{}), closed: make(chan struct{}),
	}
}

// add queues a denial, in the order of the calls, and returns where the outcome
// will be told. It does not wait.
func (j *journal) add(d denial) <-chan error {
	done := make(chan error, 1)
	j.mu.Lock()
	j.queue = append(j.queue, queued{entry{d.seq, d.encode()}, done})
	j.mu.Unlock()
	j.poke()
	return done
}

// poke makes the goroutine look at the queue, and try again what had failed.
func (j *journal) poke() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// restart begins the journal anew, after the index was seen to contain base.
func (j *journal) restart(base uint64, blocks []key) error {
	done := make(chan error, 1)
	j.restarts <- restart{base, blocks, done}
	return <-done
}

// run is the goroutine.
func (j *journal) run() {
	defer close(j.ended)
	for {
		select {
		case <-j.wake:
			j.flush()
		case r := <-j.restarts:
			r.done <- j.begin(r.base, r.blocks)
		case <-j.closed:
			j.flush()
			return
		}
	}
}

// close waits for everything that was added.
func (j *journal) close() error {
	close(j.closed)
	<-j.ended
	return j.file.Close()
}

// flush writes what is queued, and what could not be written before.
func (j *journal) flush() {
	j.mu.Lock()
	queue := j.queue
	j.queue = nil
	j.mu.Unlock()
	for _, q := range queue {
		j.keep(q.entry)
	}
	err := j.write()
	for _, q := range queue {
		q.done <- err
	}
}

// keep remembers an entry for as long as the journal does not begin anew.
func (j *journal) keep(e entry) {
	j.kept = append(j.kept, e)
	j.bytes += len(e.bytes)
	if j.bytes > largestJournal {
		j.dropped, j.kept, j.bytes, j.written = e.seq, nil, 0, 0
		j.seen = trace{}
	}
	if j.bytes > largeJournal || j.dropped > 0 {
		j.large.Store(true)
	}
}

// write makes all that is kept durable: appended where the file is as it was left,
// else in a new file.
func (j *journal) write() error {
	if j.dropped > 0 {
		return fmt.Errorf("the journal is full until the index was written")
	}
	if j.written == len(j.kept) && j.seen.untouched(j.path) == nil {
		return nil
	}
	if j.seen.untouched(j.path) != nil {
		return j.replace()
	}
	var buf []byte
	for _, e := range j.kept[j.written:] {
		buf = append(buf, e.bytes...)
	}
	if err := j.append(buf); err != nil {
		j.seen = trace{} // whatever is there now, it is not to be appended to
		return fmt.Errorf("journal: %w", err)
	}
	j.written = len(j.kept)
	return nil
}

func (j *journal) append(buf []byte) error {
	if err := j.fault("journal write"); err != nil {
		return err
	}
	if _, err := j.file.WriteAt(buf, j.seen.size); err != nil {
		return err
	}
	if err := j.fault("journal sync"); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	var err error
	j.seen, err = traceOf(j.file)
	return err
}

// begin writes a journal that begins at base. Where that fails the former one
// goes on.
func (j *journal) begin(base uint64, blocks []key) error {
	if base < j.dropped {
		return fmt.Errorf("journal: the index has %d, %d is needed", base, j.dropped)
	}
	former := j.content
	j.content = content{base: base}
	for _, k := range blocks {
		j.blocks = append(j.blocks, denial{seq: base, operation: block, key: k}.encode())
	}
	for _, e := range former.kept {
		if e.seq > base {
			j.kept = append(j.kept, e)
			j.bytes += len(e.bytes)
		}
	}
	if err := j.replace(); err != nil {
		j.content = former
		return err
	}
	j.large.Store(j.bytes > largeJournal)
	return nil
}

// replace writes the whole journal into a new file and puts it in place.
func (j *journal) replace() error {
	buf := journalHeader(j.base)
	for _, b := range j.blocks {
		buf = append(buf, b...)
	}
	for _, e := range j.kept {
		buf = append(buf, e.bytes...)
	}
	if err := j.fault("journal replace"); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	file, err := writeFile(j.path, buf)
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	if j.file != nil {
		_ = j.file.Close() // of the former file nothing is needed
	}
	j.file, j.written = file, len(j.kept)
	j.seen, err = traceOf(file)
	return err
}
