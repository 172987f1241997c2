package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"
)

// The words of [Events].Damaged.
const (
	howSize     = "size"
	howModified = "modified"
	howDigest   = "digest"
	howRead     = "read"
)

// Blob is one reader's view of a blob. It is not evicted before it is closed, and can
// be read to its end even if it is removed.
type Blob struct {
	store *Store
	key   key
	entry *entry
	file  *os.File
	size  int64
	close func() error // once
}

// Open gives the blob, pinned until [Blob.Close]. Where its file is not what is
// remembered, or nothing is, all of it is hashed first: one verification whatever the
// load, in the background, for which Open waits until ctx ends and at most 5 s. The
// error is [ErrAbsent] (also for a blob found to be damaged), [ErrVerifying],
// [ErrClosed], or the disk's, or says that d is no digest.
func (s *Store) Open(ctx context.Context, d digest.Digest) (*Blob, error) {
	k, err := keyOf(d)
	if err != nil {
		return nil, err
	}
	b, doubt, err := s.open(k)
	if doubt == "" {
		return b, err
	}
	ctx, cancel := context.WithTimeout(ctx, verifyWait)
	defer cancel()
	for doubt != "" { // again, where the file was changed since it was hashed
		if err := s.verified(ctx, k); err != nil {
			return nil, err
		}
		b, doubt, err = s.open(k)
	}
	return b, err
}

// open pins and opens a blob, or says what speaks against trusting it.
func (s *Store) open(k key) (b *Blob, doubt string, err error) {
	for {
		e, err := s.use(k, true)
		if err != nil {
			return nil, "", err
		}
		file, info, err := s.folder.open(k)
		if err != nil {
			defer s.unpin(e)
			return nil, "", s.cannotOpen(k, e, err)
		}
		current, doubt := s.compare(e, info)
		if current && doubt == "" {
			b := &Blob{store: s, key: k, entry: e, file: file, size: info.Size()}
			b.close = sync.OnceValue(b.release)
			return b, "", nil
		}
		err = file.Close()
		s.unpin(e)
		if err != nil {
			return nil, "", err
		}
		if current {
			return nil, doubt, nil
		}
		// It was removed while we opened, and the file may already be another's.
	}
}

// compare tells whether the blob is still present, and what of its file is not as it
// was written: "" is nothing.
func (s *Store) compare(e *entry, info fs.FileInfo) (current bool, doubt string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch current = e.state == present; {
	case info.Size() != e.size:
		return current, howSize
	case e.modified == cold:
		return current, howDigest
	case modifiedAt(info) != e.modified:
		return current, howModified
	}
	return current, ""
}

// cannotOpen tells a file that is gone from a process that has too many open.
func (s *Store) cannotOpen(k key, e *entry, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		s.damaged(k, e, howRead, err)
		return ErrAbsent
	}
	s.failed(opOpen, err)
	return fmt.Errorf("blob %s: %w", k.digest(), err)
}

func (s *Store) unpin(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.unpin(e)
}

// Size in bytes.
func (b *Blob) Size() int64 { return b.size }

// ReadAt reads as [io.ReaderAt] says. An error other than io.EOF, and an end before
// Size, are damage: tell it by [Blob.Damaged].
func (b *Blob) ReadAt(p []byte, offset int64) (int, error) { return b.file.ReadAt(p, offset) }

// File is the blob's file, for sendfile(2). Its offset is this Blob's alone. It is
// closed by [Blob.Close], and must not be written.
func (b *Blob) File() *os.File { return b.file }

// Damaged says that the blob could not be read, or was wrong, and removes it.
func (b *Blob) Damaged(err error) { b.store.damaged(b.key, b.entry, howRead, err) }

// Close lets the blob be evicted. Closing again does nothing.
func (b *Blob) Close() error { return b.close() }

func (b *Blob) release() error {
	err := b.file.Close() // first: the bytes of a removed file are free only then
	b.store.unpin(b.entry)
	return err
}
