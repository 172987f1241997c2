package fill

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// origin is a source as one fill knows it.
type origin struct {
	Source
	noRanges atomic.Bool   // it ignores ranges: asked for none any more
	noParts  atomic.Bool   // it refused one far ahead: segments are not asked for any more
	gave     atomic.Bool   // bytes came from it
	proven   chan struct{} // closed when the blob was had from here, or may be
	refused  chan struct{} // closed when it refused; then err is set
	err      error
}

func newOrigin(source Source) *origin {
	return &origin{Source: source, proven: make(chan struct{}), refused: make(chan struct{})}
}

// proof is the one question that all who wait for a source's leave share.
type proof struct {
	done chan struct{} // closed when err is set
	err  error
	left bool // the asker went away before the answer: somebody else asks
}

// sources are those of one fill, or of one transfer past it. They take turns.
type sources struct {
	mu     sync.Mutex // guards all below
	turns  []*origin  // whose turn it is stands first
	proofs map[string]*proof
	last   error // the last refusal
}

func newSources(first Source) *sources {
	return &sources{turns: []*origin{newOrigin(first)}, proofs: make(map[string]*proof)}
}

// turn returns whose turn it is; when none is left, the last refusal.
func (s *sources) turn(ranges bool) (*origin, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.turns {
		if !ranges || !o.noRanges.Load() && !o.noParts.Load() {
			return o, nil
		}
	}
	if ranges {
		return nil, errNoRanges
	}
	return nil, s.last
}

// none tells whether every source refused.
func (s *sources) none() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.turns) == 0
}

// pass gives the turn to the next one, after a fault of o.
func (s *sources) pass(o *origin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.turns) > 0 && s.turns[0] == o {
		s.turns = append(s.turns[1:], o)
	}
}

// refuse removes o.
func (s *sources) refuse(o *origin, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.turns, o)
	if i < 0 {
		return
	}
	s.turns = slices.Delete(s.turns, i, i+1)
	s.last, o.err = err, err
	close(o.refused)
}

// judge tells those whose bytes are in a blob whether it is right.
func (s *sources) judge(right bool) {
	s.mu.Lock()
	turns := slices.Clone(s.turns)
	s.mu.Unlock()
	for _, o := range turns {
		if judged, ok := o.Source.(Judged); ok && o.gave.Load() {
			judged.Judged(right)
		}
	}
}

// grant notes that the blob may be had from o.
func (s *sources) grant(o *origin) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o.grant()
}

// grant is called under the lock of o's sources.
func (o *origin) grant() {
	if !happened(o.proven) {
		close(o.proven)
	}
}

func happened(event <-chan struct{}) bool {
	select {
	case <-event:
		return true
	default:
		return false
	}
}

// known returns the origin with the source's key, or nil.
func (s *sources) known(key string) *origin {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(key)
}

func (s *sources) find(key string) *origin {
	i := slices.IndexFunc(s.turns, func(o *origin) bool { return o.Key() == key })
	if i < 0 {
		return nil
	}
	return s.turns[i]
}

// prove asks source, or waits for the answer to somebody who asks already.
func (s *sources) prove(ctx context.Context, source Source) (*origin, error) {
	key := source.Key()
	for {
		s.mu.Lock()
		p, asked := s.proofs[key]
		if !asked {
			p = &proof{done: make(chan struct{})}
			s.proofs[key] = p
		}
		s.mu.Unlock()

		if !asked {
			return s.ask(ctx, source, p)
		}
		select {
		case <-p.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if p.err != nil && !p.left {
			return nil, p.err
		}
		if o := s.known(key); p.err == nil && o != nil {
			return o, nil
		}
	}
}

func (s *sources) ask(ctx context.Context, source Source, p *proof) (*origin, error) {
	p.err = source.Prove(ctx)
	p.left = ctx.Err() != nil

	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(p.done)
	delete(s.proofs, source.Key())
	if p.err != nil {
		return nil, p.err
	}
	o := s.find(source.Key())
	if o == nil {
		o = newOrigin(source)
		s.turns = append(s.turns, o)
	}
	o.grant()
	return o, nil
}
