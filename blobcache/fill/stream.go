package fill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	// The algorithms of the image specification, so that digest.Digest can use them.
	_ "crypto/sha256"
	_ "crypto/sha512"
)

// pauses are those before asking again when no byte came since the last time; after
// the last one the blob cannot be had.
var pauses = [...]time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond,
	time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}

// stream reads a stretch of the blob as one unbroken sequence, by as many requests to
// as many sources as that takes. Read's error is final: io.EOF at the stretch's end,
// ctx's, the last source's refusal, a *MismatchError, or a fault that stayed.
type stream struct {
	ctx     context.Context
	want    digest.Digest
	sources *sources
	// prefix returns the sum of the blob's first n bytes, which another reading from the
	// beginning must have as well. nil: only a source that knows ranges will do.
	prefix func() (sum []byte, n int64)
	count  func(n int)
	resume func()

	at, end int64 // what Read reads next, and where it ends; end -1: with the blob
	size    int64 // of the blob; -1: not known
	request *request
	faults  int  // since the last byte
	broke   bool // the next request resumes
}

// seek makes [at, end) the stretch to read. What is asked for already is read on where
// that leads there.
func (s *stream) seek(at, end int64) {
	s.at, s.end = at, end
	r := s.request
	if r == nil {
		return
	}
	exhausted := r.end >= 0 && r.at >= r.end
	reachable := r.at == at || r.at < at && r.from.noRanges.Load()
	if exhausted || !reachable {
		s.drop()
	}
}

// drop ends the request, if there is one.
func (s *stream) drop() {
	if s.request != nil {
		s.request.close()
		s.request = nil
	}
}

// limit is where reading ends, as far as that is known; else -1.
func (s *stream) limit() int64 {
	if s.end < 0 || s.size >= 0 && s.size < s.end {
		return s.size
	}
	return s.end
}

func (s *stream) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if err := s.open(); err != nil {
			return 0, err
		}
		limit := s.limit()
		if limit >= 0 && s.at >= limit {
			return 0, s.finish()
		}
		if limit >= 0 {
			p = p[:min(int64(len(p)), limit-s.at)]
		}
		n, err := s.read(p)
		if n > 0 {
			s.request.from.gave.Store(true)
			s.at += int64(n)
			s.faults = 0
			return n, nil
		}
		if s.size < 0 && (err == io.EOF || s.complete()) {
			s.size = s.at
			continue
		}
		s.broke = true
		if err := s.fault(s.request.from, cut(err)); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// cut is an end of the body before the end of the blob.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// read reads from the request, behind what it begins with and is not wanted.
func (s *stream) read(p []byte) (int, error) {
	r := s.request
	if r.at < s.at {
		if _, err := io.CopyN(io.Discard, r, s.at-r.at); err != nil {
			return 0, cut(err)
		}
	}
	n, err := r.Read(p)
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	return n, err
}

// finish ends the stretch. A body that goes on behind the blob's end is not the blob.
func (s *stream) finish() error {
	r := s.request
	surplus := 0
	if r != nil && r.end < 0 && r.at == s.size {
		surplus, _ = r.Read(make([]byte, 1)) // all is here: what else the body ends with is no fault
	}
	s.drop()
	if surplus > 0 {
		return &MismatchError{Want: s.want}
	}
	return io.EOF
}

// complete tells whether the bytes before s.at are all of a blob of unknown size: then
// only the mark of its end was lost, and there is nothing left to ask for.
func (s *stream) complete() bool {
	if s.prefix == nil {
		return false
	}
	sum, n := s.prefix()
	return n == s.at && digest.NewDigestFromBytes(s.want.Algorithm(), sum) == s.want
}

// open sees to it that there is a request to read from, if there is more to read.
func (s *stream) open() error {
	for s.request == nil && (s.limit() < 0 || s.at < s.limit()) {
		from, err := s.sources.turn(s.prefix == nil)
		if err != nil {
			return err
		}
		if err := s.ask(from); err != nil {
			if err := s.fault(from, err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *stream) ask(from *origin) error {
	offset, n, end := s.at, int64(-1), int64(-1)
	switch {
	case from.noRanges.Load():
		offset = 0
	case s.end >= 0 && (s.size < 0 || s.end < s.size):
		n, end = s.end-s.at, s.end
	}
	ctx, cancel := context.WithCancel(s.ctx)
	part, err := from.Fetch(ctx, offset, n)
	if err != nil {
		cancel()
		return err
	}
	r := &request{body: part.Body, from: from, at: part.Offset, end: end, cancel: cancel, count: s.count}
	if err := s.accept(r, part); err != nil {
		r.close()
		return err
	}
	s.sources.grant(from)
	s.request = r
	s.size = max(s.size, part.Size)
	if s.broke {
		s.broke = false
		s.resume()
	}
	return nil
}

// accept checks that the answer is about the blob that was read so far, and is the
// part that was asked for (RFC 9110 §15.3.7) or the whole (§14.2).
func (s *stream) accept(r *request, part Part) error {
	switch {
	case part.Offset != s.at && part.Offset != 0:
		return fmt.Errorf("asked for the bytes from %d on, got those from %d on", s.at, part.Offset)
	case part.Size >= 0 && s.size >= 0 && part.Size != s.size:
		return fmt.Errorf("the size changed from %d to %d bytes", s.size, part.Size)
	case part.Size >= 0 && part.Size < s.at:
		return fmt.Errorf("the size is %d bytes, but %d bytes came", part.Size, s.at)
	case part.Offset == s.at:
		return nil
	}
	r.from.noRanges.Store(true)
	r.end = -1
	if s.prefix == nil {
		return errNoRanges
	}
	return s.compare(r)
}

// compare reads the beginning of the blob once more. Were it another one, the rest
// would not belong to what was read before.
func (s *stream) compare(r *request) error {
	sum, n := s.prefix()
	again := newHash(s.want)
	if _, err := io.CopyN(again, r, n); err != nil {
		return cut(err)
	}
	if !bytes.Equal(again.Sum(nil), sum) {
		return &MismatchError{Want: s.want}
	}
	return nil
}

// fault deals with an error of source from. Its result is final.
func (s *stream) fault(from *origin, err error) error {
	s.drop()
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	if _, wrong := errors.AsType[*MismatchError](err); wrong {
		return err
	}
	if err == errNoRanges {
		return nil
	}
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		if s.prefix == nil { // the main stream finds out whether it refuses the blob
			from.noParts.Store(true)
			return nil
		}
		s.sources.refuse(from, refusal.Err)
		return nil
	}
	s.sources.pass(from)
	if s.faults == len(pauses) {
		return fmt.Errorf("after %d attempts: %w", s.faults+1, err)
	}
	pause := time.NewTimer(pauses[s.faults])
	defer pause.Stop()
	s.faults++
	select {
	case <-pause.C:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

func newHash(d digest.Digest) hash.Hash { return d.Algorithm().Hash() }
