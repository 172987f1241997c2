package blobcache

import (
	"context"
	"errors"
	"fmt"

	"breakwater/blobcache/disk"
	"breakwater/blobcache/fill"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

// How says by which way [Cache.Join] came to the content.
type How string

// The ways.
const (
	Hit    How = "hit"    // it was held by then, or a refusal was remembered
	Miss   How = "miss"   // a transfer was begun for it
	Joined How = "joined" // it was on its way for somebody else
	Passed How = "bypass" // it goes past the cache and is not kept
)

// Apart is a source whose transfers are kept apart from those of others: what comes
// from a registry that somebody else runs is no risk to those who do not use it.
type Apart interface {
	fill.Source
	Apart() string // those with the same word share transfers; "" is the word of all others
}

// fillKey is what transfers are shared by.
type fillKey struct {
	digest digest.Digest
	realm  string
}

// Join reads a blob that is not held while it comes, from source or from where
// somebody else has it come already, once source has proven that it may be had
// there. It returns when upstream's headers are there. The error is source's own,
// ctx's, or a [*fill.MismatchError].
func (c *Cache) Join(ctx context.Context, d digest.Digest, source fill.Source) (Content, How, error) {
	key := fillKey{digest: d}
	if apart, ok := source.(Apart); ok {
		key.realm = apart.Apart()
	}
	source = blamed{source, c.wrong, d}
	for {
		if c.wrong.recent(d, source.Key()) {
			return nil, Hit, &fill.MismatchError{Want: d}
		}
		under, how := c.underway(key, source)
		if how == Hit {
			if err := source.Prove(ctx); err != nil {
				return nil, Hit, err
			}
			if held, ok := c.Open(ctx, d); ok {
				return held, Hit, nil
			}
			under, how = c.start(key, source)
		}
		reader, err := under.Join(ctx, source)
		if errors.Is(err, fill.ErrEnded) && c.life.Context().Err() == nil {
			continue
		}
		if err != nil {
			return nil, how, err
		}
		if reader.Passed() {
			how = Passed
		}
		return arriving{reader}, how, nil
	}
}

// underway finds the transfer of d, or begins it.
func (c *Cache) underway(key fillKey, source fill.Source) (*transfer, How) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.fills[key]; ok {
		return t, Joined
	}
	if c.Held(key.digest) {
		return nil, Hit // it ended between the caller's look and ours
	}
	return c.begin(key, source), Miss
}

// start begins a transfer although the file may be there: it could not be opened.
func (c *Cache) start(key fillKey, source fill.Source) (*transfer, How) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ok := c.fills[key]; ok {
		return t, Joined
	}
	return c.begin(key, source), Miss
}

// begin starts a transfer. c.mu is held.
func (c *Cache) begin(key fillKey, source fill.Source) *transfer {
	life, cancel := context.WithCancel(c.life.Context())
	d, t, log := key.digest, &transfer{cancel: cancel}, c.log
	if c.store == nil {
		log = zap.NewNop() // that nothing is kept was said at the start
	}
	if c.index.Blocked(d) {
		cancel() // since the caller looked: the fill ends before it begins
	}
	t.Fill = fill.New(life, fill.Options{
		Digest: d,
		Create: func(size int64) (fill.File, error) { return c.create(d, size) },
		NoRoom: disk.ErrNoRoom, Unwanted: disk.ErrAbsent,
		Ended:  func() { c.ended(key, t) },
		Events: c.events,
		Log:    log,
	}, source)
	c.fills[key], c.live[t] = t, d
	if !c.life.Start(func() { c.drain(t) }) {
		cancel() // closed: the fill ends at once
	}
	return t
}

// drain forgets a transfer when its last reader has left.
func (c *Cache) drain(t *transfer) {
	t.Wait()
	t.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.live, t)
}

var errNoDisk = errors.New("there is no disk")

func (c *Cache) create(d digest.Digest, size int64) (fill.File, error) {
	if c.store == nil {
		return nil, errNoDisk
	}
	partial, err := c.store.Create(d, size)
	switch {
	case errors.Is(err, disk.ErrExists):
		return nil, fmt.Errorf("%w: it is being kept already, from elsewhere", disk.ErrNoRoom)
	case errors.Is(err, disk.ErrNoRoom):
		now := c.store.Stats()
		return nil, fmt.Errorf("%w: a blob of %d bytes, where %d may be held, %d are, %d are promised, and %d objects are being read",
			err, size, now.Budget, now.Bytes, now.Promised, now.Pinned)
	case err != nil:
		return nil, err
	}
	return partial, nil
}

func (c *Cache) ended(key fillKey, t *transfer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fills[key] == t {
		delete(c.fills, key)
	}
}

// blamed is a source whose wrong bytes are remembered.
type blamed struct {
	fill.Source
	wrong  *mismatches
	digest digest.Digest
}

// Judged implements [fill.Judged].
func (b blamed) Judged(right bool) {
	if !right {
		b.wrong.note(b.digest, b.Key())
	}
	if source, ok := b.Source.(fill.Judged); ok {
		source.Judged(right)
	}
}

var _ fill.File = (*disk.Partial)(nil)
