package main

import (
	"context"
	"errors"
	"syscall"

	"breakwater/blobcache"
	"breakwater/blobcache/index"
	"breakwater/config"
	"breakwater/internal/control"
	"breakwater/metrics"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

// steward speaks of a cache in the words of package control.
type steward struct {
	*blobcache.Cache
	dir string
}

// openStopped opens a cache on which no instance runs.
func openStopped(c config.Cache) (control.Cache, func() error, error) {
	cache, err := openCache(context.Background(), c, metrics.New(version), zap.NewNop())
	if err != nil {
		return nil, nil, err
	}
	return steward{cache, c.Dir}, cache.Close, nil
}

// List implements [control.Cache].
func (s steward) List(ctx context.Context, repository string, yield func(control.Entry) error) error {
	return s.Entries(ctx, repository, func(e blobcache.Entry) error {
		entry := control.Entry{Digest: e.Digest, Size: e.Size, Used: e.Used, Tags: e.Tags}
		for _, l := range e.Links {
			kind := "blob"
			if l.Kind == index.Manifest {
				kind = "manifest"
			}
			entry.Links = append(entry.Links, control.Link{
				Origin: l.Repository.Origin, Repository: l.Repository.Name,
				Kind: kind, MediaType: l.MediaType, Suspended: l.Suspended,
			})
		}
		return yield(entry)
	})
}

// Stat implements [control.Cache].
func (s steward) Stat() (control.Stat, error) {
	var system syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &system); err != nil {
		return control.Stat{}, errors.New("the file system of " + s.dir + " cannot be asked: " + err.Error())
	}
	numbers := s.Stats()
	return control.Stat{
		Bytes: numbers.Disk.Bytes, Objects: numbers.Disk.Objects, Budget: numbers.Disk.Budget,
		Free: int64(system.Bavail) * system.Bsize, Promised: numbers.Disk.Promised, Pinned: numbers.Disk.Pinned,
		Oldest: numbers.Disk.Oldest, Links: numbers.Index.Links, Tags: numbers.Index.Tags,
		Repositories: numbers.Index.Repositories, Blocked: s.Index().Blocks(),
	}, nil
}

// Verify implements [control.Cache].
func (s steward) Verify(ctx context.Context, rate int64, yield func(control.Result) error) error {
	return s.Cache.Verify(ctx, rate, func(d digest.Digest, size int64, wrong error) error {
		found := control.Result{Digest: d, Size: size}
		if wrong != nil {
			found.Err = wrong.Error()
		}
		return yield(found)
	})
}

// PurgeRepository implements [control.Cache].
func (s steward) PurgeRepository(name string) (control.Purged, error) {
	purged, err := s.Cache.PurgeRepository(name)
	return control.Purged(purged), err
}

// PurgeDigest implements [control.Cache].
func (s steward) PurgeDigest(d digest.Digest) (control.Purged, error) {
	purged, err := s.Cache.PurgeDigest(d)
	return control.Purged(purged), err
}

// PurgeAll implements [control.Cache].
func (s steward) PurgeAll() (control.Purged, error) {
	purged, err := s.Cache.PurgeAll()
	return control.Purged(purged), err
}

// held turns the cache's numbers into metrics.
func held(c *blobcache.Cache) metrics.Held {
	numbers := c.Stats()
	return metrics.Held{
		Bytes: numbers.Disk.Bytes, Objects: numbers.Disk.Objects, Budget: numbers.Disk.Budget,
		Promised: numbers.Disk.Promised, Pinned: numbers.Disk.Pinned, Oldest: numbers.Disk.Oldest,
		Memory: numbers.Memory, Links: numbers.Index.Links, Tags: numbers.Index.Tags,
		Repositories: numbers.Index.Repositories, Blocked: numbers.Index.Blocks,
	}
}
