package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Commit makes the blob durable and present. The caller has written all of it and
// verified its digest; every write has returned. After an error it can still be read,
// until Close. [ErrAbsent]: it was removed while it was filled.
func (p *Partial) Commit() error {
	s := p.store
	if err := p.seal(); err != nil {
		return fmt.Errorf("blob %s: commit: %w", p.key.digest(), err)
	}
	defer s.tasks.Done()
	info, operation, err := p.persist()
	if err != nil {
		s.failed(operation, err)
		s.mu.Lock()
		p.refuse()
		s.moved.Broadcast()
		s.mu.Unlock()
		return fmt.Errorf("blob %s: commit: %w", p.key.digest(), diskError(err))
	}
	now := time.Now()
	e := &entry{size: info.Size(), modified: modifiedAt(info), used: now.UnixNano(), recorded: now.UnixNano(), pins: 1}
	s.records.PutBlob(p.key.digest(), e.size, time.Unix(0, e.modified), now) // before it can be removed again
	s.mu.Lock()
	p.phase = committed
	p.entry = e
	delete(s.ledger.filling, p.key)
	s.ledger.owed -= p.promised - p.bytes
	s.ledger.publish(p.key, e)
	purged := p.purged
	s.moved.Broadcast()
	s.mu.Unlock()
	if purged {
		s.drop(p.key, e, reasonPurged)
		return fmt.Errorf("blob %s: commit: %w", p.key.digest(), ErrAbsent)
	}
	return nil
}

// seal ends the writing. Where it succeeds the caller calls s.tasks.Done.
func (p *Partial) seal() error {
	s := p.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.phase != filling {
		return errNotFilling
	}
	if p.purged {
		return ErrAbsent
	}
	if whole := max(p.size, p.end); p.end != whole || p.bytes != s.ledger.rounded(whole) {
		return errIncomplete
	}
	if !s.begin() {
		return ErrClosed
	}
	p.phase = committing
	return nil
}

var errIncomplete = errors.New("not all of it was written")

// persist syncs the file and gives it its name.
func (p *Partial) persist() (info fs.FileInfo, operation string, err error) {
	s := p.store
	if err = s.folder.sync(p.file); err != nil {
		return nil, opSync, err
	}
	if info, err = p.file.Stat(); err != nil {
		return nil, opSync, err
	}
	if err = s.folder.rename(p.path, p.key); err != nil {
		return nil, opRename, err
	}
	if err = s.folder.syncFolder(p.key.folder()); err != nil {
		// The bytes are durable and the name is there; after a power failure the blob
		// may be absent, and that is no harm.
		s.failed(opSync, err)
	}
	return info, "", nil
}
