package blobcache

import (
	"context"
	"errors"
	"io"

	"breakwater/blobcache/disk"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

// MaxDocument is the size in bytes that the distribution spec ("Pushing Manifests")
// has every registry accept for a manifest.
const MaxDocument = 4 << 20

// maxWriters is how many documents wait in memory to be written.
const maxWriters = 64

// Document returns a manifest or small blob that is held, whole and verified. The
// caller must not change it.
func (c *Cache) Document(ctx context.Context, d digest.Digest) ([]byte, bool) {
	if body, ok := c.memory.get(d); ok {
		if c.store != nil {
			c.store.Touch(d)
		}
		return body, true
	}
	if c.store == nil {
		return nil, false
	}
	if size, held := c.store.Has(d); !held || size > MaxDocument {
		return nil, false
	}
	blob, err := c.store.Open(ctx, d)
	if err != nil {
		return nil, false // absent; or damaged, which the store tells
	}
	defer func() { _ = blob.Close() }() // of a file that was read
	body := make([]byte, blob.Size())
	if _, err := blob.ReadAt(body, 0); err != nil && !errors.Is(err, io.EOF) {
		blob.Damaged(err)
		return nil, false
	}
	if d.Algorithm().FromBytes(body) != d {
		blob.Damaged(errors.New("its bytes do not have its digest"))
		return nil, false
	}
	c.memory.add(d, body)
	return body, true
}

// Keep holds a verified document that is not blocked: at once in memory, soon on disk.
// The body must not be changed any more.
func (c *Cache) Keep(d digest.Digest, body []byte) {
	if c.index.Blocked(d) {
		return
	}
	c.memory.add(d, body)
	if c.store == nil {
		return
	}
	select {
	case c.writers <- struct{}{}:
	default:
		return // the disk does not keep up: it is in memory, and fetched again when it leaves that
	}
	started := c.life.Start(func() {
		defer func() { <-c.writers }()
		if err := c.write(d, body); err != nil && !errors.Is(err, disk.ErrExists) {
			c.log.Debug("a document is not kept on disk", zap.Stringer("digest", d), zap.Error(err))
		}
	})
	if !started { // closed: it is fetched again next time
		<-c.writers
	}
}

func (c *Cache) write(d digest.Digest, body []byte) error {
	partial, err := c.store.Create(d, int64(len(body)))
	if err != nil {
		return err
	}
	if _, err = partial.WriteAt(body, 0); err == nil {
		err = partial.Commit()
	}
	return errors.Join(err, partial.Close())
}
