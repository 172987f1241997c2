package disk

import (
	"crypto/rand"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
)

// unknownStep is what a fill of unknown length is promised at a time, bytes; a
// quarter of the budget where that is less.
const unknownStep = 64 << 20

// Create begins a fill of size bytes, or -1 where that is not known, and promises it
// room: [ErrNoRoom] at once where that could never be had, or the disk is full;
// [ErrExists] where the blob is present or being filled; [ErrClosed]; or the disk's
// error. It waits for nothing but the unlink of an earlier file of that blob.
func (s *Store) Create(d digest.Digest, size int64) (*Partial, error) {
	k, err := keyOf(d)
	if err != nil {
		return nil, err
	}
	s.lookWhenDue()
	p := &Partial{store: s, key: k, size: size, path: k.partialPath(rand.Text())}
	if err := s.reserve(p); err != nil {
		return nil, fmt.Errorf("blob %s: %w", d, err)
	}
	defer s.tasks.Done()
	p.file, err = s.folder.create(p.path)
	if noSpace(err) && s.freeDisk(1) { // not a byte, or not an inode is free
		p.file, err = s.folder.create(p.path)
	}
	if err != nil {
		s.mu.Lock()
		s.forget(p)
		s.mu.Unlock()
		s.failed(opOpen, err)
		return nil, fmt.Errorf("blob %s: %w", d, diskError(err))
	}
	p.close = sync.OnceValue(p.release)
	return p, nil
}

// reserve takes the name and promises the room. Where it succeeds the caller calls
// s.tasks.Done.
func (s *Store) reserve(p *Partial) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.ledger
	for {
		if s.closed {
			return ErrClosed
		}
		if l.filling[p.key] != nil || l.blobs.Contains(p.key) {
			return ErrExists
		}
		e := l.leaving[p.key]
		if e == nil {
			break
		}
		if e.state == leaving {
			s.moved.Wait()
			continue
		}
		if err := s.unlinkAgain(p.key, e); err != nil {
			return err
		}
	}
	if p.size > l.maximum { // before it is rounded: a length is the sender's to choose
		return ErrNoRoom
	}
	if err := p.promise(l.rounded(max(p.size, 0))); err != nil {
		return err
	}
	l.filling[p.key] = p
	s.tasks.Add(1)
	return nil
}

// unlinkAgain tries once more what the disk refused before. s.mu is held, but not
// meanwhile.
func (s *Store) unlinkAgain(k key, e *entry) error {
	s.ledger.leave(k, e)
	s.tasks.Add(1) // the caller saw that the Store is not closed
	s.mu.Unlock()
	err := s.unlink(k, e)
	s.tasks.Done()
	s.mu.Lock()
	return err
}

// promise makes sure that n more bytes are promised. store.mu is held.
func (p *Partial) promise(n int64) error {
	short := p.bytes + n - p.promised
	if short <= 0 {
		return nil
	}
	l := p.store.ledger
	if p.size < 0 {
		short = max(short, min(unknownStep, l.rounded(l.maximum/4)))
	}
	if !l.possible(l.owed + short) {
		return ErrNoRoom
	}
	l.owed += short
	p.promised += short
	return nil
}
