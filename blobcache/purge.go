package blobcache

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Purged is what a purge took away: objects and links, and bytes of files.
type Purged struct {
	Objects int
	Bytes   int64
	Links   int
}

// PurgeRepository forgets the tags and links of a repository at every origin, and
// removes the content that no other repository is linked to. Who reads reads on.
func (c *Cache) PurgeRepository(name string) (Purged, error) {
	var (
		purged Purged
		failed error
	)
	for _, repo := range c.index.Repositories() {
		if repo.Name != name {
			continue
		}
		var digests []digest.Digest
		for target := range c.index.Links(repo) {
			digests = append(digests, target.Digest)
		}
		failed = errors.Join(failed, c.index.Forget(repo))
		purged.Links += len(digests)
		for _, d := range digests {
			if len(c.index.LinksOf(d)) == 0 {
				c.remove(d, &purged)
			}
		}
	}
	return purged, failed
}

// PurgeDigest removes one blob or manifest, with all tags and links to it. What is
// coming of it is given up.
func (c *Cache) PurgeDigest(d digest.Digest) (Purged, error) {
	purged := Purged{Links: len(c.index.LinksOf(d))}
	err := c.index.ForgetDigest(d)
	c.abandon(d)
	c.remove(d, &purged)
	return purged, err
}

// PurgeAll removes all content, tags and links. Blocks stay. Who reads reads on; what
// is coming is not kept.
func (c *Cache) PurgeAll() (Purged, error) {
	var (
		purged Purged
		failed error
	)
	for _, repo := range c.index.Repositories() {
		for range c.index.Links(repo) {
			purged.Links++
		}
		failed = errors.Join(failed, c.index.Forget(repo))
	}
	c.memory.clear()
	if c.store != nil {
		for _, d := range c.coming() {
			c.remove(d, &purged)
		}
		c.store.All(func(d digest.Digest, _ int64, _ time.Time) bool {
			c.remove(d, &purged)
			return true
		})
	}
	return purged, failed
}

// Block has a digest refused to everybody from now on, and its content removed.
func (c *Cache) Block(d digest.Digest) error {
	err := c.index.Block(d)
	c.abandon(d)
	c.remove(d, new(Purged))
	return err
}

// Unblock lets a digest be served again.
func (c *Cache) Unblock(d digest.Digest) error { return c.index.Unblock(d) }

func (c *Cache) remove(d digest.Digest, purged *Purged) {
	c.memory.remove(d)
	if c.store == nil {
		return
	}
	size, held := c.store.Has(d)
	// What is not held may be about to be: then it is not kept.
	if c.store.Remove(d) && held {
		purged.Objects++
		purged.Bytes += size
	}
}

// coming are the digests of the transfers under way.
func (c *Cache) coming() []digest.Digest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.live))
}

// abandon ends the transfers of d under way, with everybody who reads them.
func (c *Cache) abandon(d digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for t, of := range c.live {
		if of == d {
			t.cancel()
		}
	}
}
