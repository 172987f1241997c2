package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"

	"breakwater/proxy/registry"

	"github.com/opencontainers/go-digest"
)

// maxHeld is the memory, in bytes, for all manifests and lists that are being
// read, or wait for a slow client to take them.
const maxHeld = 256 << 20

// readDocument reads a manifest or a list of at most that many bytes whole: it is
// verified before its header goes out, and a slow client holds memory, which is
// bounded, in place of one of the few connections that tokens and manifests need.
// release gives the memory back.
func (o *origin) readDocument(ctx context.Context, resp *http.Response, most int64) (body []byte, release func(), err error) {
	defer func() { _ = resp.Body.Close() }()
	tooLarge := registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable,
		"upstream %s answered with more than %d MiB: ask for a list in parts, with n", o.Upstream.Name(), most>>20)
	size := resp.ContentLength
	switch {
	case size > most:
		return nil, nil, tooLarge
	case size < 0:
		size = most
	}
	if err := o.acquire(ctx, size); err != nil {
		return nil, nil, err
	}
	if resp.ContentLength >= 0 {
		body = make([]byte, size)
		_, err = io.ReadFull(resp.Body, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(resp.Body, most+1))
	}
	switch {
	case err != nil:
		err = o.unavailable(0).Because(fmt.Errorf("upstream broke off in the middle: %w", whyOf(ctx, err)))
	case int64(len(body)) > most:
		err = tooLarge
	}
	if err != nil {
		o.documents.Release(size)
		return nil, nil, err
	}
	o.documents.Release(size - int64(len(body)))
	return body, func() { o.documents.Release(int64(len(body))) }, nil
}

// acquire waits for that much memory.
func (p *Proxy) acquire(ctx context.Context, size int64) error {
	if err := p.documents.Acquire(ctx, size); err != nil {
		return unavailable(0, "too many manifests and lists wait for slow clients here: try again later").Because(err)
	}
	return nil
}

// sending counts each manifest once that is on its way to clients: they share its
// bytes.
type sending struct {
	mu   sync.Mutex // guards held
	held map[digest.Digest]*sent
}

type sent struct {
	clients int
	ready   chan struct{} // closed when its memory is accounted for, or err is set
	err     error
}

// smallManifest is the size in bytes up to which nobody waits for memory.
const smallManifest = 64 << 10

// share accounts for a manifest until done is called. Whoever gives up waiting for
// memory takes nobody along.
func (p *Proxy) share(ctx context.Context, d digest.Digest, size int64) (done func(), err error) {
	if size <= smallManifest {
		return func() {}, nil
	}
	for {
		s, first := p.sending.join(d)
		if first {
			s.err = p.acquire(ctx, size)
			if s.err != nil {
				p.sending.forget(d, s)
			}
			close(s.ready)
		}
		select {
		case <-s.ready:
			err = s.err
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		done = func() {
			if p.sending.leave(d, s) {
				p.documents.Release(size)
			}
		}
		if err == nil {
			return done, nil
		}
		done()
		if first || ctx.Err() != nil {
			return nil, err
		}
	}
}

// join returns the account of d, and whether the caller is the first to have it.
func (s *sending) join(d digest.Digest) (account *sent, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	account, ok := s.held[d]
	if !ok {
		account = &sent{ready: make(chan struct{})}
		s.held[d] = account
	}
	account.clients++
	return account, !ok
}

// leave tells whether the memory is to be given back.
func (s *sending) leave(d digest.Digest, account *sent) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if account.clients--; account.clients > 0 {
		return false
	}
	if s.held[d] == account {
		delete(s.held, d)
	}
	return account.err == nil
}

// forget lets the next one try anew.
func (s *sending) forget(d digest.Digest, account *sent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[d] == account {
		delete(s.held, d)
	}
}

// holdMemory accounts for a document until its client has it.
func (x *exchange) holdMemory(size int64) error {
	if err := x.acquire(x.ctx, size); err != nil {
		return err
	}
	x.held += size
	return nil
}
