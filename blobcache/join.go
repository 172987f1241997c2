package blobcache

import (
	"context"
	"errors"

	"breakwater/blobcache/disk"
	"breakwater/blobcache/fill"

	"github.com/opencontainers/go-digest"
)

// How says by which way [Cache.Join] came to the content.
type How string

// The ways.
const (
	Hit    How = "hit"    // it was held by then
	Miss   How = "miss"   // a transfer was begun for it
	Joined How = "joined" // it was on its way for somebody else
)

// Join reads a blob that is not held while it comes, from source or from where
// somebody else has it come already, once source has proven that it may be had
// there. It returns when upstream's headers are there. The error is source's own,
// ctx's, or a [*fill.MismatchError].
func (c *Cache) Join(ctx context.Context, d digest.Digest, source fill.Source) (Content, How, error) {
	for {
		if c.wrong.recent(d, source.Key()) {
			return nil, Miss, &fill.MismatchError{Want: d}
		}
		under, how := c.underway(d, source)
		if how == Hit {
			if err := source.Prove(ctx); err != nil {
				return nil, Hit, err
			}
			if held, ok := c.Open(ctx, d); ok {
				return held, Hit, nil
			}
			under, how = c.start(d, source)
		}
		reader, err := under.Join(ctx, source)
		if errors.Is(err, fill.ErrEnded) && c.life.Context().Err() == nil {
			continue
		}
		if err != nil {
			return nil, how, err
		}
		return arriving{reader}, how, nil
	}
}

// underway finds the transfer of d, or begins it.
func (c *Cache) underway(d digest.Digest, source fill.Source) (*transfer, How) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.fills[d]; ok {
		return t, Joined
	}
	if c.Held(d) {
		return nil, Hit // it ended between the caller's look and ours
	}
	return c.begin(d, source), Miss
}

// start begins a transfer although the file may be there: it could not be opened.
func (c *Cache) start(d digest.Digest, source fill.Source) (*transfer, How) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.fills[d]; ok {
		return t, Joined
	}
	return c.begin(d, source), Miss
}

// begin starts a transfer. c.mu is held.
func (c *Cache) begin(d digest.Digest, source fill.Source) *transfer {
	life, cancel := context.WithCancel(c.life.Context())
	t := &transfer{cancel: cancel}
	t.Fill = fill.New(life, fill.Options{
		Digest: d,
		Create: func(size int64) (fill.File, error) { return c.create(d, size) },
		NoRoom: disk.ErrNoRoom,
		Ended:  func() { c.ended(d, t) },
		Events: outcome{c.events, func(result string) { c.judge(result, d, source) }},
		Log:    c.log,
	}, source)
	c.fills[d] = t
	if !c.life.Start(func() { t.Wait(); cancel() }) {
		cancel() // closed: the fill ends at once
	}
	return t
}

var (
	errNoDisk  = errors.New("there is no disk")
	errBlocked = errors.New("the digest is blocked")
)

func (c *Cache) create(d digest.Digest, size int64) (fill.File, error) {
	if c.store == nil {
		return nil, errNoDisk
	}
	if c.index.Blocked(d) {
		return nil, errBlocked
	}
	partial, err := c.store.Create(d, size)
	if err != nil {
		return nil, err
	}
	return partial, nil
}

func (c *Cache) ended(d digest.Digest, t *transfer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fills[d] == t {
		delete(c.fills, d)
	}
}

// outcome tells how one transfer ended.
type outcome struct {
	Events
	ended func(result string)
}

func (o outcome) FillEnded(result string, received int64) {
	o.ended(result)
	o.Events.FillEnded(result, received)
}

func (c *Cache) judge(result string, d digest.Digest, source fill.Source) {
	switch result {
	case fill.ResultMismatch:
		c.wrong.note(d, source.Key())
	case fill.ResultStored:
		c.wrong.forget(d, source.Key())
	}
}

// Filling tells whether d is on its way.
func (c *Cache) Filling(d digest.Digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.fills[d]
	return ok
}

var _ fill.File = (*disk.Partial)(nil)
