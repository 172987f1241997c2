package control_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/internal/control"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

// fake is a Cache that remembers what it was asked.
type fake struct {
	entries []control.Entry
	stat    control.Stat
	results []control.Result
	err     error // of everything

	hold chan struct{} // if set, List and Verify go on when it is closed, or with their ctx

	mu    sync.Mutex // guards calls
	calls []string
}

func (f *fake) called(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fake) asked() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.calls, ", ")
}

func each[T any](ctx context.Context, f *fake, items []T, yield func(T) error) error {
	for _, item := range items {
		if err := yield(item); err != nil {
			f.called("ended by its reader")
			return err
		}
	}
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			f.called("ended by its ctx")
			return ctx.Err()
		}
	}
	return f.err
}

func (f *fake) List(ctx context.Context, repository string, yield func(control.Entry) error) error {
	f.called("List(%s)", repository)
	return each(ctx, f, f.entries, yield)
}

func (f *fake) Verify(ctx context.Context, rate int64, yield func(control.Result) error) error {
	f.called("Verify(%d)", rate)
	return each(ctx, f, f.results, yield)
}

func (f *fake) Stat() (control.Stat, error) {
	f.called("Stat()")
	return f.stat, f.err
}

var taken = control.Purged{Objects: 3, Bytes: 1 << 40, Links: 4}

func (f *fake) PurgeRepository(name string) (control.Purged, error) {
	f.called("PurgeRepository(%s)", name)
	return taken, f.err
}

func (f *fake) PurgeDigest(d digest.Digest) (control.Purged, error) {
	f.called("PurgeDigest(%s)", d)
	return taken, f.err
}

func (f *fake) PurgeAll() (control.Purged, error) {
	f.called("PurgeAll()")
	return taken, f.err
}

func (f *fake) Block(d digest.Digest) error {
	f.called("Block(%s)", d)
	return f.err
}

func (f *fake) Unblock(d digest.Digest) error {
	f.called("Unblock(%s)", d)
	return f.err
}

var (
	first  = digest.FromString("first")
	second = digest.SHA512.FromString("second")
	noon   = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
)

// held is a cache with something of everything in it.
func held() *fake {
	return &fake{
		entries: []control.Entry{
			{Digest: first, Size: 1 << 33, Used: noon, Tags: []string{"https://h.test:443/a/b:1.0"}, Links: []control.Link{
				{Origin: "https://h.test:443", Repository: "a/b", Kind: "manifest", MediaType: "application/vnd.oci.image.manifest.v1+json"},
				{Origin: "https://h.test:443", Repository: "a/c", Kind: "blob", Suspended: true}}},
			{Digest: second, Used: noon},
		},
		stat: control.Stat{Bytes: 1 << 40, Objects: 7, Budget: 1 << 41, Free: 5, Promised: 6, Pinned: 2, Oldest: noon,
			Links: 8, Tags: 9, Repositories: 10, Blocked: []digest.Digest{first}},
		results: []control.Result{{Digest: first, Size: 42}, {Digest: second, Size: 43, Err: "is <not> & was not"}},
	}
}

// serve answers for cache in dir until the end of the test.
func serve(t *testing.T, dir string, cache control.Cache) *control.Server {
	t.Helper()
	s, err := control.Serve(dir, cache, nil, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return s
}

func dial(t *testing.T, dir string) *control.Client {
	t.Helper()
	c, err := control.Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func collect[T any](items *[]T) func(T) error {
	return func(item T) error {
		*items = append(*items, item)
		return nil
	}
}
