package disk

import (
	"errors"
	"fmt"
	"os"
)

// phase of a Partial.
type phase uint8

const (
	filling phase = iota
	committing
	committed
	refused   // the disk failed it: it can be read, and no more
	discarded // its file is gone
)

// Partial is a blob that is being filled: a sparse file, written and read by many
// goroutines, in any order. It is to be closed.
type Partial struct {
	store *Store
	key   key
	file  *os.File
	path  string
	size  int64 // -1: not known
	close func() error

	// Guarded by store.mu:
	phase    phase
	purged   bool   // [Store.Remove] was told: it will not be kept
	arrived  blocks // that are claimed
	bytes    int64  // of them
	end      int64  // of the last byte that was claimed
	promised int64  // bytes, of which arrived are taken
	entry    *entry // once committed; pinned by the Partial
}

// bounds refuses a write that ends after the promised size, or after any budget.
func (p *Partial) bounds(end int64) error {
	if p.size >= 0 && end > p.size {
		return fmt.Errorf("blob %s: write up to byte %d of %d", p.key.digest(), end, p.size)
	}
	if end > p.store.ledger.maximum {
		return ErrNoRoom
	}
	return nil
}

// WriteAt writes as [io.WriterAt] says, after room was made by evicting what nobody
// reads. [ErrNoRoom]: there is none; what was written before stays readable.
func (p *Partial) WriteAt(b []byte, offset int64) (int, error) {
	s := p.store
	if offset < 0 {
		return 0, fmt.Errorf("blob %s: write at byte %d", p.key.digest(), offset)
	}
	if len(b) == 0 {
		return 0, nil
	}
	if err := s.claim(p, offset, offset+int64(len(b))); err != nil {
		return 0, err
	}
	n, err := s.folder.writeAt(p.file, b, offset)
	if noSpace(err) && s.freeDisk(int64(len(b)-n)) {
		var more int
		more, err = s.folder.writeAt(p.file, b[n:], offset+int64(n))
		n += more
	}
	if err != nil {
		s.failed(opWrite, err)
		s.mu.Lock()
		p.refuse() // claimed, but not there
		s.mu.Unlock()
		return n, fmt.Errorf("blob %s: %w", p.key.digest(), diskError(err))
	}
	return n, nil
}

// diskError gives a full disk the name that callers know.
func diskError(err error) error {
	if noSpace(err) {
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	return err
}

// refuse more bytes and a commit. store.mu is held.
func (p *Partial) refuse() {
	if p.phase == filling || p.phase == committing {
		p.phase = refused
	}
}

// ReadAt reads as [io.ReaderAt] says, also after Commit and until Close. Bytes that
// were not written read as zeros, or as the end: the caller knows what it wrote.
func (p *Partial) ReadAt(b []byte, offset int64) (int, error) { return p.file.ReadAt(b, offset) }

// Discard gives the fill up: its file is unlinked and closed, and the blob can be
// created again. After a Commit that succeeded it does nothing.
func (p *Partial) Discard() error {
	s := p.store
	s.mu.Lock()
	for p.phase == committing {
		s.moved.Wait()
	}
	if p.phase == committed || p.phase == discarded {
		s.mu.Unlock()
		return nil
	}
	p.phase = discarded
	open := s.begin()
	s.mu.Unlock()
	if !open {
		return p.file.Close() // the folder may be another process's; the next start drops the file
	}
	defer s.tasks.Done()
	removed := s.folder.remove(p.path)
	if removed != nil {
		s.failed(opRemove, removed)
	}
	err := errors.Join(removed, p.file.Close())
	s.mu.Lock()
	defer s.mu.Unlock()
	if removed == nil {
		s.ledger.held -= p.bytes
	} // else they stay counted until the next start
	s.forget(p)
	return err
}

// forget a partial that will not be present. s.mu is held.
func (s *Store) forget(p *Partial) {
	delete(s.ledger.filling, p.key)
	s.ledger.owed -= p.promised - p.bytes
	s.moved.Broadcast()
}

// Close ends the reading: a blob that was committed can be evicted from now on,
// another is discarded. Closing again does nothing.
func (p *Partial) Close() error { return p.close() }

func (p *Partial) release() error {
	if err := p.Discard(); err != nil {
		return err
	}
	s := p.store
	s.mu.Lock()
	e := p.entry
	s.mu.Unlock()
	if e == nil {
		return nil
	}
	err := p.file.Close()
	s.unpin(e)
	return err
}
