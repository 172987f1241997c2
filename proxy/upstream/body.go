package upstream

import (
	"context"
	"io"
	"net/http"
	"time"
)

// body ends its request's context when it is closed, or when one Read waits for
// longer than idle. Time between Reads does not count: a slow client is not an
// upstream that stands still.
type body struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	idle   time.Duration
	watch  *time.Timer // armed by a Read, nil before the first
}

func (b *body) Read(p []byte) (int, error) {
	if b.watch == nil {
		b.watch = time.AfterFunc(b.idle, func() { b.cancel(stalledError{b.idle}) })
	} else {
		b.watch.Reset(b.idle)
	}
	n, err := b.ReadCloser.Read(p)
	b.watch.Stop()
	if err != nil && err != io.EOF {
		if cause := context.Cause(b.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

// Close lets the connection be used again when the body was read to its end,
// and cuts it otherwise.
func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(context.Canceled)
	return err
}

// Drop closes an answer that is not wanted. A short rest is read, so that the
// connection lives on.
func Drop(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // best effort: the connection is lost otherwise, nothing else
	_ = resp.Body.Close()
}
