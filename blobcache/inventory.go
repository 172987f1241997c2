package blobcache

import (
	"context"
	"time"

	"breakwater/blobcache/disk"
	"breakwater/blobcache/index"

	"github.com/opencontainers/go-digest"
)

// Stats are the numbers of a cache.
type Stats struct {
	Disk   disk.Stats // zero where the disk cannot be used
	Index  index.Stats
	Memory int64 // bytes of documents in memory
}

// Stats counts.
func (c *Cache) Stats() Stats {
	s := Stats{Index: c.index.Stats(), Memory: c.memory.used()}
	if c.store != nil {
		s.Disk = c.store.Stats()
	}
	return s
}

// Entry is one blob or manifest on disk, with those who may have it.
type Entry struct {
	Digest digest.Digest
	Size   int64 // bytes
	Used   time.Time
	Links  []Linked
	Tags   []string // origin/repository:tag
}

// Linked is a link of an [Entry].
type Linked struct {
	Repository index.Repository
	Kind       index.Kind
	index.Link
}

// Entries yields what is on disk, the least recently used first: of the repository
// of that name at every origin or, for "", of all. An error of yield ends it.
func (c *Cache) Entries(ctx context.Context, repository string, yield func(Entry) error) error {
	if c.store == nil {
		return nil
	}
	links, tags := make(map[digest.Digest][]Linked), make(map[digest.Digest][]string)
	for _, repo := range c.index.Repositories() {
		if repository != "" && repo.Name != repository {
			continue
		}
		for target, link := range c.index.Links(repo) {
			links[target.Digest] = append(links[target.Digest], Linked{repo, target.Kind, link})
		}
		for name, tag := range c.index.Tags(repo) {
			tags[tag.Digest] = append(tags[tag.Digest], repo.Origin+"/"+repo.Name+":"+name)
		}
	}
	var err error
	c.store.All(func(d digest.Digest, size int64, used time.Time) bool {
		if err = ctx.Err(); err == nil && (repository == "" || links[d] != nil) {
			err = yield(Entry{d, size, used, links[d], tags[d]})
		}
		return err == nil
	})
	return err
}

// Verify hashes everything on disk once, at rate bytes a second (0: as fast as the
// disk gives), and yields what it found; what is wrong is removed.
func (c *Cache) Verify(ctx context.Context, rate int64, yield func(d digest.Digest, size int64, wrong error) error) error {
	if c.store == nil {
		return nil
	}
	var err error
	c.store.All(func(d digest.Digest, size int64, _ time.Time) bool {
		wrong := c.store.Verify(ctx, d, rate)
		if err = ctx.Err(); err != nil {
			return false
		}
		if wrong != nil {
			c.memory.remove(d)
		}
		err = yield(d, size, wrong)
		return err == nil
	})
	return err
}
