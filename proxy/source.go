package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"breakwater/blobcache/fill"
	"breakwater/blobcache/index"
)

// source is a repository as the place to get a blob from. It implements
// [fill.Source].
type source struct {
	*origin
	pair
	epoch index.Epoch // when it was asked for
	via   string      // for a transfer that is shared, and has a context of its own
	way   string      // see byWay

	mu    sync.Mutex // guards all below
	did   asked      // of the first question
	begun bool       // it is set
	given bool       // bytes came
	size  int64      // of the whole; -1: not told
}

func (o *origin) source(ctx context.Context, pr pair) *source {
	return &source{origin: o, pair: pr, epoch: o.index.Epoch(pr.repo), via: o.via(ctx), size: -1}
}

// Key implements [fill.Source]. A repository whose access was revoked is another
// source after that: what proved it before proves nothing.
func (s *source) Key() string {
	return fmt.Sprintf("%s/%s#%d%s", s.repo.Origin, s.repo.Name, s.epoch, s.way)
}

// Apart implements [blobcache.Apart]: what a proxy-cache project brings was written
// by whoever runs its own upstream.
func (s *source) Apart() string { return s.apart(s.repo) }

// apart is one word for each place in which others may write: a proxy-cache project or,
// where upstream is a Breakwater of whose routes any may lead to one, what it has for a
// project.
func (o *origin) apart(repo index.Repository) string {
	parts := strings.SplitN(repo.Name, "/", 3)
	switch {
	case o.level.Load():
		return o.key + "/" + strings.Join(parts[:min(2, len(parts))], "/")
	case o.settings(repo).ProxyCache:
		return o.key + "/" + parts[0]
	}
	return ""
}

// Prove implements [fill.Source]: the link, or upstream's word for it.
func (s *source) Prove(ctx context.Context) error {
	if _, ok := s.linked(s.pair); ok {
		return nil
	}
	proven, err := s.prove(withVia(ctx, s.via), s.pair)
	s.note(proven.asked)
	return err
}

// Fetch implements [fill.Source]. Upstream's 2xx for the very pair is what links it, or,
// in a proxy-cache project, the content that follows.
func (s *source) Fetch(ctx context.Context, offset, n int64) (fill.Part, error) {
	var extra [][2]string
	if offset > 0 || n >= 0 {
		extra = append(extra, [2]string{"Range", rangeOf(offset, n)})
	}
	ctx, cancel := context.WithCancelCause(withVia(ctx, s.via))
	late := time.AfterFunc(headerBudget, func() { cancel(errLate) })
	resp, did, err := s.ask(ctx, http.MethodGet, s.request(), extra...)
	s.note(did)
	if err == nil && !late.Stop() {
		_ = resp.Body.Close()
		err = errLate
	}
	if err != nil {
		late.Stop()
		err = whyOf(ctx, err)
		cancel(nil)
		// Package upstream has tried again what is worth it. Only a transfer that has
		// begun, and for which clients wait in the middle of a body, is worth more.
		if !s.gave() || denialOf(err) != notDenied {
			return fill.Part{}, &fill.Refusal{Err: s.noted(s.pair, err)}
		}
		return fill.Part{}, err
	}
	part := fill.Part{Body: &cancelled{resp.Body, cancel}, Size: resp.ContentLength}
	if resp.StatusCode == http.StatusPartialContent {
		if part.Offset, part.Size, err = contentRange(resp.Header.Get("Content-Range")); err != nil {
			_ = part.Body.Close()
			return fill.Part{}, s.badAnswer(s.request(), resp, "%w", err)
		}
		if extra == nil {
			_ = part.Body.Close()
			return fill.Part{}, &fill.Refusal{Err: s.badAnswer(s.request(), resp, "a part of the blob, though no range was asked for")}
		}
	}
	s.mu.Lock()
	s.given, s.size = true, part.Size
	s.mu.Unlock()
	if s.Apart() == "" && !secondhand(resp) {
		s.putLink(s.pair, s.epoch, index.Link{Size: part.Size})
	}
	return part, nil
}

func rangeOf(offset, n int64) string {
	if n < 0 {
		return fmt.Sprintf("bytes=%d-", offset)
	}
	return fmt.Sprintf("bytes=%d-%d", offset, offset+n-1)
}

// oneRange is a satisfied Content-Range (RFC 9110 §14.4).
var oneRange = regexp.MustCompile(`^bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)$`)

// contentRange reads where a part begins, and how long the whole is: -1 where that
// is not said.
func contentRange(said string) (first, size int64, err error) {
	part := oneRange.FindStringSubmatch(said)
	if part == nil {
		return 0, 0, fmt.Errorf("%.60q as a Content-Range", said)
	}
	number := func(s string) int64 { n, _ := strconv.ParseInt(s, 10, 64); return n } // digits, by the grammar above
	first, last, size := number(part[1]), number(part[2]), int64(-1)
	if part[3] != "*" {
		size = number(part[3])
	}
	if last < first || size >= 0 && last >= size {
		return 0, 0, fmt.Errorf("%.60q as a Content-Range", said)
	}
	return first, size, nil
}

// note keeps what the first question came to.
func (s *source) note(did asked) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun && did.method != "" {
		s.did, s.begun = did, true
	}
}

func (s *source) gave() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given
}

// Judged implements [fill.Judged]. What others may have written is linked once it was
// found to be right.
func (s *source) Judged(right bool) {
	if !right {
		s.Events.DigestMismatch(s.Upstream.Name(), s.request().Kind.String())
		return
	}
	s.mu.Lock()
	size := s.size
	s.mu.Unlock()
	if _, linked := s.linked(s.pair); !linked {
		s.putLink(s.pair, s.epoch, index.Link{Size: size})
	}
}

func (s *source) first() asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.did
}

// cancelled is a body whose end ends what was asked for it.
type cancelled struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (c *cancelled) Close() error {
	err := c.ReadCloser.Close()
	c.cancel(nil)
	return err
}
