package disk

import (
	"errors"
	"fmt"
	"math"
	"time"

	"go.uber.org/zap"
)

// The file system's free space is asked for after so many bytes, or so long after
// the last time: other programs use the disk too, but statfs at each write would
// cost more than the writes.
const (
	lookBytes = 16 << 20
	lookAge   = 5 * time.Second
)

// The reasons of [Events].Evicted.
const (
	reasonSize    = "size"
	reasonFree    = "free"
	reasonPurged  = "purged"
	reasonDamaged = "damaged"
)

// claim counts bytes [offset, end) of the partial as held before they are written,
// and evicts what has to go for them.
func (s *Store) claim(p *Partial, offset, end int64) error {
	s.lookWhenDue()
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.ledger
	for {
		if s.closed {
			return ErrClosed
		}
		if p.phase != filling {
			return errNotFilling
		}
		if err := p.bounds(end); err != nil {
			return err
		}
		first, last := offset/l.block, (end+l.block-1)/l.block
		n := p.arrived.missing(first, last) * l.block
		if err := p.promise(n); err != nil {
			return err
		}
		if l.fits(n) {
			p.arrived.add(first, last)
			p.end = max(p.end, end)
			p.bytes += n
			l.held += n
			l.owed -= n
			s.unseen += n
			return nil
		}
		if !l.possible(n) {
			return ErrNoRoom
		}
		if err := s.evict(l.budget()-n, l.shortage(n)); err != nil {
			return err
		}
	}
}

// evict unlinks the least recently used blob, or waits for one that somebody else
// unlinks where that leaves no more than target bytes. The caller saw that more are
// held, and some of them idle or parting. s.mu is held, but not meanwhile.
func (s *Store) evict(target int64, reason string) error {
	k, e := s.ledger.victim(target)
	if e == nil {
		s.moved.Wait()
		return nil
	}
	s.tasks.Add(1) // the caller saw that the Store is not closed
	s.mu.Unlock()
	err := s.unlink(k, e)
	s.tasks.Done()
	s.events.Evicted(reason, e.age())
	s.mu.Lock()
	if err != nil {
		return fmt.Errorf("%w: evicting: %w", ErrNoRoom, err)
	}
	return nil
}

// unlink the file of a blob that was taken out of the ledger.
func (s *Store) unlink(k key, e *entry) error {
	err := s.folder.remove(k.path())
	if err == nil {
		s.records.DeleteBlob(k.digest()) // before the name is free: a new fill's PutBlob comes after
	}
	s.mu.Lock()
	s.ledger.unlinked(k, e, err == nil)
	s.moved.Broadcast()
	s.mu.Unlock()
	if err != nil {
		s.failed(opRemove, err)
	}
	return err
}

// freeDisk evicts so that about n bytes get free on a disk that is full although the
// budget is not; false when nothing can be, or the disk refuses.
func (s *Store) freeDisk(n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.ledger
	target := max(0, l.held-l.rounded(n))
	// Until the next look at the disk this is what it allows.
	l.limit = min(l.limit, target+l.rounded(n))
	freed := false
	for l.held > target && l.idle+l.parting > 0 && !s.closed {
		if err := s.evict(target, reasonFree); err != nil {
			return freed
		}
		freed = true
	}
	return freed
}

// lookWhenDue asks the file system what min_free leaves for us.
func (s *Store) lookWhenDue() {
	now := time.Now()
	s.mu.Lock()
	due := s.unseen >= lookBytes || now.Sub(s.looked) >= lookAge
	if !due || !s.begin() {
		s.mu.Unlock()
		return
	}
	s.unseen, s.looked = 0, now
	before := s.ledger.held
	s.mu.Unlock()
	defer s.tasks.Done()
	limit, err := s.look(before)
	s.mu.Lock()
	if err == nil {
		// Of what was held before and is held now, the lesser: bytes that came or
		// went during the look may or may not be in its answer.
		s.ledger.limit = limit - max(0, before-s.ledger.held)
	}
	s.mu.Unlock()
	if err != nil {
		s.log.Warn("the free space of the cache's disk is not known", zap.Error(err))
	}
}

// look says how many bytes may be held, given how many are.
func (s *Store) look(held int64) (int64, error) {
	_, total, free, err := s.folder.space()
	if err != nil {
		return 0, err
	}
	keep := s.keep(total)
	if keep == 0 {
		return math.MaxInt64, nil
	}
	return held + free - keep, nil
}

// within evicts until the budget is kept: what a start finds may be over it.
func (s *Store) within() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.ledger.fits(0) && s.ledger.idle > 0 {
		if err := s.evict(s.ledger.budget(), s.ledger.shortage(0)); err != nil {
			return // it was told; each claim tries again
		}
	}
}

var errNotFilling = errors.New("partial blob takes no more bytes")
