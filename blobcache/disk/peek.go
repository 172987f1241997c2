package disk

import (
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
)

// Peek reads a blob of at most that many bytes, and does not count as a use: the blob
// keeps its place among the least recently used, and its file, whatever is in it. The
// bytes are not verified. The error is [ErrAbsent], [ErrClosed] or the disk's, or says
// that d is no digest, or that there is more.
func (s *Store) Peek(d digest.Digest, most int64) (body []byte, err error) {
	k, err := keyOf(d)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	_, err = s.find(k)
	if err == nil {
		s.tasks.Add(1)
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	defer s.tasks.Done()
	file, info, err := s.folder.open(k)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if info.Size() > most {
		return nil, fmt.Errorf("blob %s: it has %d bytes, more than %d", d, info.Size(), most)
	}
	body = make([]byte, info.Size())
	_, err = io.ReadFull(file, body)
	return body, err
}
