package disk

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

// Options of a [Store]. Dir, MaxSize and Records are required.
type Options struct {
	Dir            string // the one that the [Lock] was taken for
	MaxSize        int64  // bytes, of files rounded up to blocks: blobs that are present, and what has arrived of others
	MinFreePercent int    // of the file system's size stays free, 0 to 99; where it is 0:
	MinFree        int64  // bytes stay free
	Records        Records
	Events         Events      // may be nil
	Log            *zap.Logger // may be nil
}

// Records remember facts of blobs across restarts. They are called from many
// goroutines, never block on a disk and never fail: what they forget is hashed anew
// when it is next opened.
type Records interface {
	// Blobs tells all that is remembered, in any order.
	Blobs(func(d digest.Digest, size int64, modified, used time.Time))
	PutBlob(d digest.Digest, size int64, modified, used time.Time)
	DeleteBlob(d digest.Digest)
	// Clean tells whether the last stop was an orderly one.
	Clean() bool
}

// Events are told what happens. They are called from many goroutines and must not
// block.
type Events interface {
	// Evicted: a blob left. reason is "size" (the budget), "free" (what has to stay
	// free, or a full disk), "purged" or "damaged"; age is the time since its last
	// use.
	Evicted(reason string, age time.Duration)
	// Damaged: a file does not hold what was written. how is what differed: "size",
	// "modified" (so it was hashed, and was wrong), "digest", or "read" where it
	// cannot be read at all.
	Damaged(how string)
	// Failed: the disk refused an operation: "write", "sync", "rename", "remove" or
	// "open".
	Failed(operation string)
}

type noEvents struct{}

func (noEvents) Evicted(string, time.Duration) {}
func (noEvents) Damaged(string)                {}
func (noEvents) Failed(string)                 {}

func (o *Options) check(lock *Lock) error {
	switch {
	case lock == nil || filepath.Clean(o.Dir) != lock.dir:
		return fmt.Errorf("cache folder %q: the lock is not for it", o.Dir)
	case o.MaxSize <= 0:
		return fmt.Errorf("maximum size %d: not positive", o.MaxSize)
	case o.MinFreePercent < 0 || o.MinFreePercent > 99 || o.MinFree < 0:
		return fmt.Errorf("minimum free %d%%, %d bytes: out of range", o.MinFreePercent, o.MinFree)
	case o.Records == nil:
		return errors.New("records are missing")
	}
	return nil
}

func (o *Options) keep(total int64) int64 {
	if o.MinFreePercent > 0 {
		return total / 100 * int64(o.MinFreePercent)
	}
	return o.MinFree
}
