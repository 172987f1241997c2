package control_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"breakwater/internal/control"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestEverythingTravels asks a cache by way of the socket, and itself, and
// compares what the two say.
func TestEverythingTravels(t *testing.T) {
	near, far := held(), held()
	dir := t.TempDir()
	serve(t, dir, far)
	for what, ask := range map[string]func(control.Cache) (any, error){
		"list": func(c control.Cache) (any, error) {
			var found []control.Entry
			err := c.List(t.Context(), "", collect(&found))
			return found, err
		},
		"list of one": func(c control.Cache) (any, error) {
			var found []control.Entry
			err := c.List(t.Context(), "team-a/app", collect(&found))
			return found, err
		},
		"verify": func(c control.Cache) (any, error) {
			var found []control.Result
			err := c.Verify(t.Context(), 50<<20, collect(&found))
			return found, err
		},
		"stat":             func(c control.Cache) (any, error) { return c.Stat() },
		"purge repository": func(c control.Cache) (any, error) { return c.PurgeRepository("team-a/app") },
		"purge digest":     func(c control.Cache) (any, error) { return c.PurgeDigest(second) },
		"purge all":        func(c control.Cache) (any, error) { return c.PurgeAll() },
		"block":            func(c control.Cache) (any, error) { return nil, c.Block(first) },
		"unblock":          func(c control.Cache) (any, error) { return nil, c.Unblock(second) },
	} {
		t.Run(what, func(t *testing.T) {
			client := dial(t, dir)
			near.calls, far.calls = nil, nil
			want, err := ask(near)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ask(client)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v (%v)\nwant %+v", got, err, want)
			}
			if far.asked() != near.asked() {
				t.Errorf("asked for %s, want %s", far.asked(), near.asked())
			}

			near.err, far.err = errors.New(`the disk says "no" & <that> is it`), errors.New(`the disk says "no" & <that> is it`)
			if _, err := ask(client); err == nil || err.Error() != near.err.Error() {
				t.Errorf("got  %v\nwant %v", err, near.err)
			}
			near.err, far.err = nil, nil
		})
	}
}

// A yield that fails ends the walk at the other end too, and so does the ctx.
func TestAReaderThatLeavesEndsTheWalk(t *testing.T) {
	enough := errors.New("enough")
	for what, test := range map[string]struct {
		yield func(stop context.CancelFunc) error
		want  error
	}{
		"yield": {func(context.CancelFunc) error { return enough }, enough},
		"ctx":   {func(stop context.CancelFunc) error { stop(); return nil }, context.Canceled},
	} {
		t.Run(what, func(t *testing.T) {
			cache := held()
			cache.hold = make(chan struct{})
			dir := t.TempDir()
			server := serve(t, dir, cache)
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			client := dial(t, dir)
			err := client.List(ctx, "", func(control.Entry) error { return test.yield(stop) })
			if !errors.Is(err, test.want) {
				t.Errorf("List = %v, want %v", err, test.want)
			}
			if err := client.Close(); err != nil {
				t.Error(err)
			}
			if err := server.Close(); err != nil { // waits for the walk
				t.Error(err)
			}
			if got := cache.asked(); got != "List(), ended by its ctx" && got != "List(), ended by its reader" {
				t.Errorf("the walk: %s", got)
			}
		})
	}
}

// Close does not wait for ever for a walk, and whoever reads it learns that it
// is not whole.
func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	cache := held()
	cache.hold = make(chan struct{})
	dir := t.TempDir()
	server := serve(t, dir, cache)
	client := dial(t, dir)
	yielded := make(chan struct{}, len(cache.results))
	ended := make(chan error, 1)
	go func() {
		ended <- client.Verify(t.Context(), 0, func(control.Result) error { yielded <- struct{}{}; return nil })
	}()
	<-yielded
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if got := cache.asked(); got != "Verify(0), ended by its ctx" && got != "Verify(0), ended by its reader" {
		t.Errorf("the walk: %s", got)
	}
	if err := <-ended; err == nil {
		t.Error("a verification that was cut looks like a whole one")
	}
	if _, err := control.Dial(t.Context(), dir); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("Dial after Close = %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestOneVerificationAtATime(t *testing.T) {
	cache := held()
	cache.hold = make(chan struct{})
	dir := t.TempDir()
	serve(t, dir, cache)
	client := dial(t, dir)
	yielded := make(chan struct{}, 2*len(cache.results)) // of two that are let through
	ended := make(chan error, 1)
	verify := func() error {
		return client.Verify(t.Context(), 0, func(control.Result) error { yielded <- struct{}{}; return nil })
	}
	go func() { ended <- verify() }()
	<-yielded
	if err := verify(); err == nil || err.Error() != "another verification is running; wait until it is over" {
		t.Errorf("a second one: %v", err)
	}
	close(cache.hold)
	if err := <-ended; err != nil {
		t.Error(err)
	}
	// The first one is over when its answer is complete, or a moment after.
	for err := verify(); err != nil; err = verify() {
		if err.Error() != "another verification is running; wait until it is over" {
			t.Fatal(err)
		}
	}
}

// Whoever reads the instance's log sees that it was verified, also when whoever asked
// has closed the window.
func TestAVerificationIsInTheLog(t *testing.T) {
	logged, lines := observer.New(zap.InfoLevel)
	cache, dir := held(), t.TempDir()
	server, err := control.Serve(dir, cache, nil, zap.New(logged))
	if err != nil {
		t.Fatal(err)
	}
	verify := func(yield func(control.Result) error) error { return dial(t, dir).Verify(t.Context(), 9, yield) }
	if err := verify(func(control.Result) error { return nil }); err != nil {
		t.Error(err)
	}
	if err := server.Close(); err != nil { // waits for the walk
		t.Error(err)
	}
	want := map[string]any{"rate": int64(9), "objects": int64(2), "wrong": int64(1)}
	if got := lines.All(); len(got) != 1 || got[0].Message != "verified by an operator" || !reflect.DeepEqual(got[0].ContextMap(), want) {
		t.Errorf("logged %v, want one line with %v", got, want)
	}
}

func TestNobodyAnswers(t *testing.T) {
	gone := t.TempDir()
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	file := t.TempDir()
	if err := os.WriteFile(filepath.Join(file, control.Socket), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, dir := range map[string]string{"no socket": t.TempDir(), "no folder": gone, "a file": file} {
		if _, err := control.Dial(t.Context(), dir); !errors.Is(err, control.ErrNotRunning) {
			t.Errorf("%s: Dial = %v, want ErrNotRunning", what, err)
		}
	}
	if _, err := control.Serve(gone, held(), nil, nil); err == nil {
		t.Error("a socket was opened in a folder that is not there")
	}
}

func TestBadDigestsAreRefused(t *testing.T) {
	cache := held()
	dir := t.TempDir()
	serve(t, dir, cache)
	client := dial(t, dir)
	for _, d := range []digest.Digest{"", "sha256:", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "../../etc/passwd", first + "0"} {
		if err := client.Block(d); err == nil {
			t.Errorf("%q was blocked", d)
		}
		if _, err := client.PurgeDigest(d); err == nil {
			t.Errorf("%q was purged", d)
		}
	}
	if cache.asked() != "" {
		t.Errorf("asked for %s", cache.asked())
	}
}
