package control_test

import (
	"context"
	"errors"
	"testing"

	"breakwater/internal/control"

	"go.uber.org/zap"
)

// explained is what is said of an image.
type explained struct {
	Image, Listener string
	Parts           []int
}

// What is explained travels, and so do mistakes and failures, as what they are.
func TestExplanationsTravel(t *testing.T) {
	dir := t.TempDir()
	var failure error
	server, err := control.Serve(dir, held(), func(_ context.Context, image, listener string) (any, error) {
		return explained{image, listener, []int{1, 2}}, failure
	}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	client := dial(t, dir)

	const image, listener = "h.test:5000/a/b:1.0&c=<d>", "[::1]:5000"
	var got explained
	if err := client.Explain(image, listener, &got); err != nil || got.Image != image || got.Listener != listener || len(got.Parts) != 2 {
		t.Errorf("%+v (%v)", got, err)
	}
	failure = control.Mistake{Err: errors.New(`"nginx:" is no image`)}
	if err := client.Explain(image, listener, &got); !errors.As(err, new(control.Mistake)) || err.Error() != failure.Error() {
		t.Errorf("a mistake came as %#v", err)
	}
	failure = errors.New("the disk is gone")
	if err := client.Explain(image, listener, &got); errors.As(err, new(control.Mistake)) || err == nil || err.Error() != failure.Error() {
		t.Errorf("a failure came as %#v", err)
	}
}

// Whoever does not wait for an explanation lets it end.
func TestAnExplanationEndsWithWhoAsks(t *testing.T) {
	dir, ended := t.TempDir(), make(chan error, 1)
	began := make(chan struct{})
	server, err := control.Serve(dir, held(), func(ctx context.Context, _, _ string) (any, error) {
		close(began)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	ctx, leave := context.WithCancel(t.Context())
	client, err := control.Dial(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	go func() { <-began; leave() }()
	if err := client.Explain("nginx", "", new(explained)); !errors.Is(err, context.Canceled) {
		t.Errorf("whoever left was told %v", err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the explanation ended with %v", err)
	}
}
