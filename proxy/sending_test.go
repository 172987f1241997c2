package proxy

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/semaphore"
)

// Clients of one manifest share its memory, and one that gives up waiting for memory
// takes nobody along.
func TestAManifestIsCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 4 << 20
		p := &Proxy{documents: semaphore.NewWeighted(2 * size), sending: sending{held: make(map[digest.Digest]*sent)}}
		first, second, third := digest.FromString("1"), digest.FromString("2"), digest.FromString("3")
		var done []func()
		for range 100 {
			d, err := p.share(t.Context(), first, size)
			if err != nil {
				t.Fatal(err)
			}
			done = append(done, d)
		}
		other, err := p.share(t.Context(), second, size)
		if err != nil {
			t.Fatal(err)
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		results := make(chan error, 2)
		wait := func(ctx context.Context) {
			d, err := p.share(ctx, third, size)
			if err == nil {
				d()
			}
			results <- err
		}
		go wait(impatient)
		synctest.Wait()
		go wait(t.Context())
		if err := <-results; err == nil {
			t.Error("three manifests are held, where two have room")
		}
		other()
		if err := <-results; err != nil {
			t.Errorf("another client gave up, and this one got %v", err)
		}
		for _, d := range done {
			d()
		}
		if !p.documents.TryAcquire(2*size) || len(p.sending.held) != 0 {
			t.Error("memory was not given back")
		}
	})
}
