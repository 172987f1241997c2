package blobcache

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"breakwater/blobcache/disk"
	"breakwater/blobcache/fill"
	"breakwater/blobcache/index"
	"breakwater/internal/flight"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

// sweepEvery is how often permissions for content that is gone are dropped.
const sweepEvery = time.Hour

// Events are what a Cache tells metrics of: see the packages that emit them.
type Events interface {
	disk.Events
	fill.Events
	index.Events
}

// Options of a [Cache]; Events and Log are required.
type Options struct {
	Dir            string        // absolute; made when it is missing; "": nothing is kept on disk
	MaxSize        int64         // bytes of files, in blocks
	MinFreePercent int           // of the file system, left free; where it is 0:
	MinFree        int64         // bytes left free
	LockWait       time.Duration // for another process that has the folder
	Memory         int64         // bytes of manifests and small blobs kept in memory
	Events         Events
	Log            *zap.Logger
}

// Cache is safe for use by many goroutines.
type Cache struct {
	events Events
	log    *zap.Logger
	dir    string
	lock   *disk.Lock
	store  *disk.Store // nil when the disk cannot be used: everything goes past it
	index  *index.Index
	memory *memory
	wrong  *mismatches

	life    *flight.Life  // of transfers, and of what is written in the background
	writers chan struct{} // bounds what waits to be written

	mu    sync.Mutex // guards all below
	fills map[fillKey]*transfer
	live  map[*transfer]digest.Digest // and those that nobody joins any more, but some still read
}

// transfer is a fill under way.
type transfer struct {
	*fill.Fill
	cancel context.CancelFunc
}

// Open takes the folder, for which it waits until ctx ends or Options.LockWait is
// over, and reads what is known of its content. Where the disk itself fails (it is
// full, read-only, or broken) the Cache keeps documents in memory only; an error is
// something that the operator has to mend.
func Open(ctx context.Context, o Options) (*Cache, error) {
	c := &Cache{
		events: o.Events, log: o.Log,
		memory: newMemory(o.Memory), wrong: newMismatches(),
		life: flight.NewLife(), writers: make(chan struct{}, maxWriters),
		fills: make(map[fillKey]*transfer), live: make(map[*transfer]digest.Digest),
	}
	if o.Dir != "" {
		err := c.openDisk(ctx, o)
		if err != nil && !diskFailed(err) {
			return nil, err
		}
		if err != nil {
			o.Log.Error("the cache folder cannot be used: manifests are kept in memory, blobs are not kept",
				zap.String("dir", o.Dir), zap.Error(err))
			o.Events.Failed("open")
		}
	}
	if c.index == nil {
		var err error
		if c.index, err = index.Open(index.Options{Events: o.Events, Log: o.Log}); err != nil {
			return nil, err
		}
	}
	c.life.Start(c.sweep)
	return c, nil
}

// openDisk opens lock, index and store, or leaves nothing open.
func (c *Cache) openDisk(ctx context.Context, o Options) (err error) {
	if c.lock, err = disk.Take(ctx, o.Dir, o.LockWait, o.Log); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.lock.Close())
			c.lock = nil
		}
	}()
	if c.index, err = index.Open(index.Options{Path: filepath.Join(o.Dir, "index.db"), Events: o.Events, Log: o.Log}); err != nil {
		return err
	}
	c.store, err = disk.Open(c.lock, disk.Options{
		Dir: o.Dir, MaxSize: o.MaxSize, MinFreePercent: o.MinFreePercent, MinFree: o.MinFree,
		Records: c.index, Events: o.Events, Log: o.Log,
	})
	if err != nil {
		err = errors.Join(err, c.index.Close())
		c.index = nil
		return err
	}
	c.dir = o.Dir
	return nil
}

// diskFailed tells a disk that is not what it should be from a mistake of the
// configuration.
func diskFailed(err error) bool {
	for _, failure := range []error{syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT, syscall.EIO} {
		if errors.Is(err, failure) {
			return true
		}
	}
	return false
}

// Dir is the folder; "" where the disk is not used.
func (c *Cache) Dir() string { return c.dir }

// Index is what is known: tags, links, epochs, blocks.
func (c *Cache) Index() *index.Index { return c.index }

// Close ends every transfer, writes what is still to be written, and gives the
// folder back.
func (c *Cache) Close() error {
	c.life.End()
	var err error
	if c.store != nil {
		err = c.store.Close()
	}
	err = errors.Join(err, c.index.Close())
	if c.lock != nil {
		err = errors.Join(err, c.lock.Close())
	}
	if err != nil {
		return fmt.Errorf("closing the cache: %w", err)
	}
	return nil
}

func (c *Cache) sweep() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-c.life.Context().Done():
			return
		case <-ticker.C:
			c.index.Sweep(c.Held)
		}
	}
}

// Held tells whether all of d is here.
func (c *Cache) Held(d digest.Digest) bool {
	_, held := c.Size(d)
	return held
}

// Size is how many bytes a digest has that is here.
func (c *Cache) Size(d digest.Digest) (int64, bool) {
	if body, ok := c.memory.peek(d); ok {
		return int64(len(body)), true
	}
	if c.store == nil {
		return 0, false
	}
	return c.store.Has(d)
}

// Touch notes that these were used, so that an image's blobs are as recent as its
// manifest.
func (c *Cache) Touch(digests []digest.Digest) {
	if c.store == nil {
		return
	}
	for _, d := range digests {
		c.store.Touch(d)
	}
}
