package disk

import (
	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

// Remove makes the blob absent for whoever opens it from now on, and returns when
// its file is unlinked; who has it open reads on. A fill of it will not be kept. It
// tells whether there was anything to remove.
func (s *Store) Remove(d digest.Digest) bool {
	k, err := keyOf(d)
	if err != nil {
		return false
	}
	s.mu.Lock()
	if p := s.ledger.filling[k]; p != nil {
		p.purged = true
		s.mu.Unlock()
		return true
	}
	e, ok := s.ledger.blobs.Peek(k)
	s.mu.Unlock()
	return ok && s.drop(k, e, reasonPurged)
}

// drop takes e out and unlinks its file, if e is still what is present.
func (s *Store) drop(k key, e *entry, reason string) bool {
	s.mu.Lock()
	if e.state != present || !s.begin() {
		s.mu.Unlock()
		return false
	}
	defer s.tasks.Done()
	s.ledger.take(k, e)
	s.mu.Unlock()
	// An error was told, and leaves the blob absent: only its bytes are still there.
	_ = s.unlink(k, e)
	s.events.Evicted(reason, e.age())
	return true
}

// damaged removes a blob whose file is not what was written, and tells it.
func (s *Store) damaged(k key, e *entry, how string, err error) {
	if !s.drop(k, e, reasonDamaged) {
		return // somebody else noticed before
	}
	s.events.Damaged(how)
	s.log.Error("a blob's file was damaged; it is removed and will be fetched again",
		zap.Stringer("digest", k.digest()), zap.String("how", how), zap.Error(err))
}
