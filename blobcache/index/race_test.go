package index

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// TestRevokedIsRevoked: while many put what they began under any epoch, nothing of
// an epoch is found once its revocation has returned: neither in memory, nor in
// what a crash at that moment would leave.
func TestRevokedIsRevoked(t *testing.T) {
	folder := t.TempDir()
	o := Options{Path: filepath.Join(folder, "index.db"), batchDelay: time.Millisecond, copyPeriod: 5 * time.Millisecond}
	x := mustOpen(t, o)
	stop := make(chan struct{})
	var putters sync.WaitGroup
	for n := range linksAtWork {
		putters.Go(func() {
			var stale []Epoch
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				stale = append(stale[max(0, len(stale)-20):], x.Epoch(repositoryAt(0)))
				e := stale[i%len(stale)]
				x.PutLink(repositoryAt(0), e, Blob, linkedIn(0, e, n), Link{})
				x.PutTag(repositoryAt(0), e, fmt.Sprintf("t%d", n), Tag{Digest: linkedIn(0, e, n)})
				if i%50 == 0 {
					x.Sweep(func(digest.Digest) bool { return false })
				}
				time.Sleep(10 * time.Microsecond)
			}
		})
	}
	var acknowledged []string
	for i := range 120 {
		e := x.Epoch(repositoryAt(0))
		must(t, x.Revoke(repositoryAt(0)))
		acknowledged = append(acknowledged, fmt.Sprintf("revoked 0 %d", e))
		denied(t, x, acknowledged[max(0, len(acknowledged)-3):])
		if i%12 == 0 {
			crashed := t.TempDir()
			copyFolder(t, folder, crashed)
			after := mustOpen(t, Options{Path: filepath.Join(crashed, "index.db")})
			denied(t, after, acknowledged)
			mustClose(t, after)
		}
		if t.Failed() {
			break
		}
	}
	close(stop)
	putters.Wait()
	mustClose(t, x)
	x = mustOpen(t, o)
	denied(t, x, acknowledged)
	mustClose(t, x)
}

// TestEverythingAtOnce is for the race detector: every method, from everywhere,
// with Close in the middle.
func TestEverythingAtOnce(t *testing.T) {
	x := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "index.db"), batchDelay: time.Millisecond, copyPeriod: 3 * time.Millisecond})
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 150 {
				r, d := repositoryAt(i%3), dig("%d", i%40)
				x.PutLink(r, x.Epoch(r), Blob, d, Link{})
				x.PutTag(r, x.Epoch(r), "t", Tag{Digest: d})
				x.Link(r, Blob, d)
				x.Tag(r, "t")
				x.Blocked(d)
				x.Report(r, Blob, d, time.Now())
				x.PutBlob(d, 1, time.Now(), time.Now())
				x.DeleteBlob(d)
				x.Stats()
				x.LinksOf(d)
				for range x.Links(r) {
					break
				}
				for range x.Tags(r) {
					break
				}
				x.Repositories()
				x.Blocks()
				switch i % 30 {
				case g:
					_ = x.Revoke(r)
				case g + 4:
					_ = x.Forget(r)
				case g + 8:
					_ = x.SuspendLink(r, Blob, d)
				case g + 12:
					_ = x.SuspendTag(r, "t")
				case g + 16:
					_ = x.Block(d)
				case g + 20:
					_ = x.Unblock(d)
				case g + 24:
					_ = x.ForgetDigest(d)
				case 29:
					x.Sweep(x.Blocked)
				}
				if g == 0 && i == 100 {
					mustClose(t, x)
				}
			}
		})
	}
	all.Wait()
}
