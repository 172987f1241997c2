package fill

import (
	"bytes"
	"context"
	"io"
)

// request is an answer that is being read.
type request struct {
	body    io.ReadCloser
	from    *origin
	at, end int64 // of the body's next byte; end -1: it goes to the end of the blob
	cancel  context.CancelFunc
	count   func(n int)
	again   []byte // to be read once more, before the body goes on
	err     error  // how the body ended
}

func (r *request) Read(p []byte) (int, error) {
	if len(r.again) > 0 {
		n := copy(p, r.again)
		r.at, r.again = r.at+int64(n), r.again[n:]
		return n, nil
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.body.Read(p)
	r.at += int64(n)
	r.err = err
	r.count(n)
	return n, err
}

func (r *request) close() {
	r.cancel()
	_ = r.body.Close() // what was wanted of it was read
}

// release hands over the stream's request, set back by what was read of it last.
func (s *stream) release(unread []byte) *request {
	r := s.request
	s.request = nil
	if r != nil {
		r.at, r.again = r.at-int64(len(unread)), bytes.Clone(unread)
	}
	return r
}
