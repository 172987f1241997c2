package blobcache

import (
	"bytes"
	"context"
	"io"

	"breakwater/blobcache/disk"
	"breakwater/blobcache/fill"

	"github.com/opencontainers/go-digest"
)

// Content is one reader's view of a blob, wherever its bytes are. It is to be closed.
type Content interface {
	// Size in bytes; -1 where it is not known before the end.
	Size() int64
	// Held tells whether all of it is here already.
	Held() bool
	// Section reads [offset, offset+n), n < 0: to the end. verified: the tail waits
	// until the digest was right, and never comes where it was wrong.
	Section(ctx context.Context, offset, n int64, verified bool) io.ReadCloser
	Close() error
}

// Open returns a blob that is held, or false. It cannot be evicted while it is open.
func (c *Cache) Open(ctx context.Context, d digest.Digest) (Content, bool) {
	if body, ok := c.memory.get(d); ok {
		if c.store != nil {
			c.store.Touch(d)
		}
		return Bytes(body), true
	}
	if c.store == nil {
		return nil, false
	}
	if size, held := c.store.Has(d); held && size <= maxSmall {
		if body, ok := c.Document(ctx, d); ok {
			return Bytes(body), true
		}
	}
	blob, err := c.store.Open(ctx, d)
	if err != nil {
		return nil, false // absent, damaged, or being verified for too long: the store tells which
	}
	return file{blob}, true
}

// Bytes is content in memory.
type Bytes []byte

// Size implements [Content].
func (b Bytes) Size() int64 { return int64(len(b)) }

// Held implements [Content].
func (b Bytes) Held() bool { return true }

// Close implements [Content].
func (b Bytes) Close() error { return nil }

// Section implements [Content].
func (b Bytes) Section(_ context.Context, offset, n int64, _ bool) io.ReadCloser {
	if n < 0 {
		n = b.Size() - offset
	}
	return io.NopCloser(bytes.NewReader(b[offset : offset+n]))
}

// file is content on disk, verified when it came.
type file struct{ *disk.Blob }

func (f file) Held() bool { return true }

func (f file) Section(_ context.Context, offset, n int64, _ bool) io.ReadCloser {
	if n < 0 {
		n = f.Size() - offset
	}
	return &section{SectionReader: io.NewSectionReader(f, offset, n), file: f}
}

// section notices a file that cannot be read, or ends too early.
type section struct {
	*io.SectionReader
	file file
}

func (s *section) Read(p []byte) (int, error) {
	n, err := s.SectionReader.Read(p)
	if at, _ := s.Seek(0, io.SeekCurrent); err == io.EOF && at < s.Size() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		s.file.Damaged(err)
	}
	return n, err
}

// WriteTo lets the kernel send the file (sendfile), where w can have that.
func (s *section) WriteTo(w io.Writer) (int64, error) {
	at, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	_, offset, size := s.Outer()
	file := s.file.File()
	if _, err := file.Seek(offset+at, io.SeekStart); err != nil {
		return 0, err
	}
	n, err := io.Copy(w, &io.LimitedReader{R: file, N: size - at})
	if err == nil && n < size-at {
		err = io.ErrUnexpectedEOF
		s.file.Damaged(err)
	}
	return n, err
}

func (s *section) Close() error { return nil } // the file is closed by its opener

// arriving is content that is being filled, or was until now.
type arriving struct{ *fill.Reader }

func (a arriving) Held() bool { return a.Verified() }
