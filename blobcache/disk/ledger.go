package disk

import (
	"io/fs"
	"iter"
	"math"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// state of a blob's file, as the ledger sees it.
type state uint8

const (
	present state = iota
	leaving       // out of the ledger, and being unlinked
	gone          // unlinked; who has it open reads on
	stuck         // the disk refused to unlink it: never served, still counted
)

// entry is a blob whose bytes are all there. There may be a million of them: a
// field costs megabytes.
type entry struct {
	size     int64 // bytes
	modified int64 // the file's, Unix ns; cold: not to be trusted before it was hashed
	used     int64 // last use, Unix ns
	recorded int64 // what Records remember of used
	pins     int32
	state    state
}

// cold stands for a modification time that no file has.
const cold = 0

// modifiedAt is a file's modification time. One at the epoch, as reproducible
// archives have it, counts as a nanosecond later.
func modifiedAt(info fs.FileInfo) int64 {
	if ns := info.ModTime().UnixNano(); ns != cold {
		return ns
	}
	return cold + 1
}

// age is the time since the last use of a blob that is no longer used.
func (e *entry) age() time.Duration { return time.Since(time.Unix(0, e.used)) }

// ledger is what is known of the folder, in memory. It does no I/O, takes no lock
// and leaves the clock to others; its owner's mutex guards it.
type ledger struct {
	block   int64 // bytes; sizes are rounded up to it
	maximum int64 // bytes that the operator allows
	limit   int64 // bytes that min_free allows, as of the last look at the disk

	blobs   *simplelru.LRU[key, *entry] // present
	filling map[key]*Partial
	leaving map[key]*entry // leaving or stuck: the name is taken

	held    int64 // bytes that are on disk, or may be written there at once
	idle    int64 // of those: present and not pinned, so they can be evicted
	parting int64 // of those: being unlinked and not pinned
	owed    int64 // bytes promised to fills that have not arrived
	pinned  int   // blobs that somebody reads
}

func newLedger(block, maximum int64) *ledger {
	blobs, err := simplelru.NewLRU[key, *entry](math.MaxInt, nil) // bounded by bytes, not by number
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &ledger{
		block: block, maximum: maximum, limit: math.MaxInt64,
		blobs: blobs, filling: make(map[key]*Partial), leaving: make(map[key]*entry),
	}
}

// rounded is what a file of that size takes.
func (l *ledger) rounded(size int64) int64 {
	return (size + l.block - 1) / l.block * l.block
}

// budget is what may be held now; negative where others have filled the disk.
func (l *ledger) budget() int64 { return min(l.maximum, l.limit) }

// fits tells whether n more bytes may be written now.
func (l *ledger) fits(n int64) bool { return l.held+n <= l.budget() }

// possible tells whether they may once everything was evicted that nobody reads.
func (l *ledger) possible(n int64) bool { return l.held-l.idle-l.parting+n <= l.budget() }

// shortage names what n more bytes do not fit into.
func (l *ledger) shortage(n int64) string {
	if l.held+n > l.maximum {
		return reasonSize
	}
	return reasonFree
}

// add a blob whose bytes are not counted yet, as the most recently used.
func (l *ledger) add(k key, e *entry) {
	l.held += l.rounded(e.size)
	l.publish(k, e)
}

// publish a blob whose bytes are counted.
func (l *ledger) publish(k key, e *entry) {
	l.blobs.Add(k, e)
	if e.pins == 0 {
		l.idle += l.rounded(e.size)
	} else {
		l.pinned++
	}
}

func (l *ledger) pin(e *entry) {
	if e.pins++; e.pins == 1 {
		l.idle -= l.rounded(e.size)
		l.pinned++
	}
}

func (l *ledger) unpin(e *entry) {
	if e.pins--; e.pins > 0 {
		return
	}
	l.pinned--
	switch bytes := l.rounded(e.size); e.state {
	case present:
		l.idle += bytes
	case leaving:
		l.parting += bytes
	case gone:
		l.held -= bytes
	case stuck:
	}
}

// resize a pinned blob to what its file turned out to be.
func (l *ledger) resize(e *entry, size int64) {
	l.held += l.rounded(size) - l.rounded(e.size)
	e.size = size
}

// victim takes out the least recently used blob that nobody reads, unless what is
// being unlinked already brings down what is held to target bytes.
func (l *ledger) victim(target int64) (key, *entry) {
	if l.held-l.parting <= target {
		return "", nil
	}
	for range l.blobs.Len() {
		k, e, _ := l.blobs.GetOldest()
		if e.pins == 0 {
			l.take(k, e)
			return k, e
		}
		l.blobs.Get(k) // it is in use: it moves to the recent end
	}
	return "", nil
}

// take out a blob: from here on it is absent, and its file is to be unlinked.
func (l *ledger) take(k key, e *entry) {
	l.blobs.Remove(k)
	if e.pins == 0 {
		l.idle -= l.rounded(e.size)
	}
	l.leave(k, e)
}

// leave begins an unlink, or the next attempt at one.
func (l *ledger) leave(k key, e *entry) {
	l.leaving[k] = e
	e.state = leaving
	if e.pins == 0 {
		l.parting += l.rounded(e.size)
	}
}

// unlinked ends what leave began.
func (l *ledger) unlinked(k key, e *entry, ok bool) {
	bytes := l.rounded(e.size)
	if e.pins == 0 {
		l.parting -= bytes
	}
	if !ok {
		e.state = stuck
		return
	}
	e.state = gone
	delete(l.leaving, k)
	if e.pins == 0 {
		l.held -= bytes
	}
}

// all blobs that are present, oldest use first.
func (l *ledger) all() iter.Seq2[key, *entry] {
	return func(yield func(key, *entry) bool) {
		entries := l.blobs.Values()
		for i, k := range l.blobs.Keys() {
			if !yield(k, entries[i]) {
				return
			}
		}
	}
}
