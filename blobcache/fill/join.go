package fill

import (
	"context"
	"io"
	"sync"
)

// Reader is one client's view of a blob that comes.
type Reader struct {
	fill   *Fill
	origin *origin
	leave  func()
}

// Join adds a reader, by leave of its source. A source that is not yet proven in a
// fill that somebody else began is first asked to Prove; those who join with the same
// key at the same time share the answer. It returns when upstream's headers are
// there, so that Size is known, or known to be unknown. The error is that of the
// source, ctx's, a *MismatchError, the last fault, or ErrEnded.
func (f *Fill) Join(ctx context.Context, source Source) (*Reader, error) {
	first, ok := f.enter(source.Key())
	if !ok {
		return nil, f.awaitEnd(ctx)
	}
	known := f.first
	if !first {
		known = f.sources.known(source.Key())
	}
	from, err := f.admit(ctx, source, known)
	if err == nil {
		err = f.awaitHeaders(ctx, from)
	}
	if err != nil {
		f.exit()
		return nil, err
	}
	if !first {
		f.options.Events.Joined()
	}
	return &Reader{fill: f, origin: from, leave: sync.OnceFunc(f.exit)}, nil
}

// admit returns source's origin once it is proven. The source that the fill began
// with is known and proven by its own transfer, unless another one was quicker.
func (f *Fill) admit(ctx context.Context, source Source, known *origin) (*origin, error) {
	if known == nil {
		return f.prove(ctx, source)
	}
	select {
	case <-known.proven:
	case <-known.refused:
	case <-f.failed:
	case <-f.opened:
	case <-ctx.Done():
	}
	switch {
	case happened(known.proven):
		return known, nil
	case happened(known.refused):
		return nil, known.err
	case happened(f.failed):
		return nil, f.outcome()
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	}
	return f.prove(ctx, source)
}

// prove asks source. A fill that failed meanwhile, on account of others, is no answer
// to whoever may have the blob.
func (f *Fill) prove(ctx context.Context, source Source) (*origin, error) {
	o, err := f.sources.prove(ctx, source)
	if err == nil && happened(f.failed) {
		return nil, f.awaitEnd(ctx)
	}
	return o, err
}

// awaitEnd returns ErrEnded when the owner knows, too.
func (f *Fill) awaitEnd(ctx context.Context) error {
	select {
	case <-f.ended:
		return ErrEnded
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *Fill) awaitHeaders(ctx context.Context, from *origin) error {
	select {
	case <-f.opened:
	case <-f.failed:
	case <-from.refused:
	case <-ctx.Done():
	}
	switch {
	case happened(from.refused):
		return from.err
	case happened(f.failed):
		return f.outcome()
	case happened(f.opened):
		return nil
	}
	return context.Cause(ctx)
}

func (f *Fill) outcome() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failure
}

// Size of the blob in bytes; -1 where upstream does not tell, until its end.
func (r *Reader) Size() int64 { return r.fill.Size() }

// Verified tells whether all of the blob is here, and right.
func (r *Reader) Verified() bool {
	r.fill.mu.Lock()
	defer r.fill.mu.Unlock()
	return r.fill.verified && r.fill.cutoff == nil
}

// Passed tells whether the blob goes past the file, which it could not have.
func (r *Reader) Passed() bool {
	r.fill.mu.Lock()
	defer r.fill.mu.Unlock()
	return r.fill.cutoff != nil
}

// Section reads the bytes [offset, offset+n), n < 0: to the end, as they come. It
// lives until it or its reader is closed, or ctx ends.
//
// verified: the last 64 KiB of the blob, and all of a blob up to 64 KiB, come only
// after the digest was right; when it is wrong there is an error instead of them.
// Otherwise bytes come unverified.
func (r *Reader) Section(ctx context.Context, offset, n int64, verified bool) io.ReadCloser {
	end := int64(-1)
	if n >= 0 {
		end = offset + n
	}
	return &section{reader: r, ctx: ctx, at: offset, end: end, verified: verified}
}

// Close lets the fill go on without this reader. Its sections end.
func (r *Reader) Close() error {
	r.leave()
	return nil
}
