package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/opencontainers/go-digest"
)

const (
	// verifyWait is how long Open waits for a verification, so some gigabytes at most:
	// then its caller is better served by upstream.
	verifyWait = 5 * time.Second
	// hashChunk is how much is read at once; the rate is kept from chunk to chunk.
	hashChunk = 128 << 10
)

// check is a verification in the background, for all who wait.
type check struct {
	done chan struct{}
	err  error // after done
}

// verified waits for a verification of the blob, and begins one where there is none.
func (s *Store) verified(ctx context.Context, k key) error {
	c, err := s.checking(k)
	if err != nil {
		return err
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return fmt.Errorf("blob %s: %w: %w", k.digest(), ErrVerifying, context.Cause(ctx))
	}
	if damage := new(DamagedError); errors.As(c.err, &damage) {
		return ErrAbsent
	}
	if c.err == nil && ctx.Err() != nil { // a file that changes as fast as it is hashed
		return fmt.Errorf("blob %s: %w: %w", k.digest(), ErrVerifying, context.Cause(ctx))
	}
	return c.err
}

// checking finds the blob's verification under way, or begins one.
func (s *Store) checking(k key) (*check, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.checks[k]; c != nil {
		return c, nil
	}
	e, err := s.find(k)
	if err != nil {
		return nil, err
	}
	c := &check{done: make(chan struct{})}
	s.checks[k] = c
	s.ledger.pin(e)
	s.tasks.Go(func() {
		err := s.checkInTurn(k, e)
		s.mu.Lock()
		s.ledger.unpin(e)
		delete(s.checks, k)
		s.mu.Unlock()
		c.err = err
		close(c.done)
	})
	return c, nil
}

// checkInTurn bounds how many verifications there are at a time.
func (s *Store) checkInTurn(k key, e *entry) error {
	select {
	case s.hashing <- struct{}{}:
		defer func() { <-s.hashing }()
	case <-s.life.Done():
		return ErrClosed
	}
	if err := s.rehash(s.life, k, e, 0); s.life.Err() == nil {
		return err
	}
	return ErrClosed
}

// Verify hashes all of the blob at rate bytes per second, 0 for as fast as it goes,
// and does not count as a use. A blob that is damaged is removed, and the error is a
// [*DamagedError]; else it is nil, [ErrAbsent], [ErrClosed], ctx's or the disk's.
func (s *Store) Verify(ctx context.Context, d digest.Digest, rate int64) error {
	k, err := keyOf(d)
	if err != nil {
		return err
	}
	s.mu.Lock()
	e, err := s.find(k)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	s.tasks.Add(1)
	s.ledger.pin(e)
	s.mu.Unlock()
	defer s.tasks.Done()
	defer s.unpin(e)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.life, func() { cancel(ErrClosed) })()
	return s.rehash(ctx, k, e, rate)
}

// rehash reads a pinned blob's file and judges it.
func (s *Store) rehash(ctx context.Context, k key, e *entry, rate int64) (err error) {
	file, info, err := s.folder.open(k)
	if err != nil {
		return s.cannotOpen(k, e, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	_, how := s.compare(e, info)
	if how == "" {
		how = howDigest // nothing but the bytes can differ
	}
	verifier := k.digest().Verifier()
	_, err = io.CopyBuffer(verifier, &paced{ctx: ctx, source: file, rate: rate, began: time.Now()}, make([]byte, hashChunk))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		how = howRead
	} else if verifier.Verified() {
		s.trust(k, e, info)
		return nil
	} else {
		err = errors.New("its bytes do not have its digest")
	}
	s.damaged(k, e, how, err)
	return &DamagedError{Digest: k.digest(), How: how, Err: err}
}

// trust a file as it was when its hashing began.
func (s *Store) trust(k key, e *entry, info fs.FileInfo) {
	s.mu.Lock()
	if e.state != present {
		s.mu.Unlock()
		return
	}
	s.ledger.resize(e, info.Size())
	e.modified = modifiedAt(info)
	e.recorded = e.used
	used := time.Unix(0, e.used)
	s.mu.Unlock()
	s.records.PutBlob(k.digest(), info.Size(), time.Unix(0, modifiedAt(info)), used)
}

// paced reads no faster than rate, and not on when ctx has ended.
type paced struct {
	ctx    context.Context
	source io.Reader
	rate   int64 // bytes/s; 0: as fast as it goes
	began  time.Time
	read   int64
}

func (p *paced) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.source.Read(b)
	if p.read += int64(n); p.rate > 0 {
		due := time.Duration(float64(p.read) / float64(p.rate) * float64(time.Second))
		if !p.sleep(due - time.Since(p.began)) {
			return n, p.ctx.Err()
		}
	}
	return n, err
}

func (p *paced) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.ctx.Done():
		return false
	}
}
