package fill

import (
	"context"
	"io"
)

// withheldTail is how many of a blob's last bytes wait for its digest. A client that
// got all but these has no complete body: the length that it was promised is missing.
const withheldTail = 64 << 10

// section is a stretch of a blob as one reader reads it.
type section struct {
	reader   *Reader
	ctx      context.Context
	at, end  int64 // end -1: with the blob
	verified bool
	own      io.ReadCloser // its own transfer, when the file was given up
	closed   bool
}

// Read waits for bytes and gives as many of them as there are.
func (s *section) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := s.await()
	if err != nil {
		return 0, err
	}
	return s.read(p, n)
}

// WriteTo implements [io.WriterTo]. It has a buffer only while there are bytes.
func (s *section) WriteTo(w io.Writer) (written int64, err error) {
	for {
		n, err := s.writeTo(w)
		written += int64(n)
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
}

func (s *section) writeTo(w io.Writer) (int, error) {
	n, err := s.await()
	if err != nil {
		return 0, err
	}
	buffer := chunks.Get().(*chunk)
	defer chunks.Put(buffer)
	read, err := s.read(buffer[:], n)
	if read == 0 {
		return 0, err
	}
	written, failed := w.Write(buffer[:read])
	if failed != nil {
		return written, failed
	}
	return written, err
}

// await returns how many bytes can be read from the file, which is held open for it,
// or none when there is a transfer to read them from.
func (s *section) await() (int64, error) {
	f := s.reader.fill
	for {
		if s.closed {
			return 0, errClosed
		}
		if s.own != nil {
			return 0, nil
		}
		if s.ctx.Err() != nil {
			return 0, context.Cause(s.ctx)
		}
		n, w, err := f.look(s)
		if err == errGivenUp {
			s.bypass(f.cutoff)
			continue
		}
		if err != nil || n > 0 {
			return n, err
		}
		err = s.wait(w)
		f.unpark(w)
		if err != nil {
			return 0, err
		}
	}
}

// wait waits for w, unless the source whose leave the reader has refuses.
func (s *section) wait(w *waiter) error {
	from := s.reader.origin
	select {
	case <-w.ready:
		return nil
	case <-w.again:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	case <-from.refused:
		return from.err
	}
}

// read reads what await has found.
func (s *section) read(p []byte, n int64) (int, error) {
	if n > 0 {
		p = p[:min(int64(len(p)), n)]
		f := s.reader.fill
		err := readFull(f.file, p, s.at)
		f.reads.Done()
		if err == nil {
			s.at += int64(len(p))
			return len(p), nil
		}
		s.bypass(f.unreadable(err))
	}
	return s.own.Read(p)
}

// Close ends the section. It is not called during a Read.
func (s *section) Close() error {
	s.closed = true
	if s.own != nil {
		return s.own.Close()
	}
	return nil
}
