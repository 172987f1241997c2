//go:build e2e

package e2e

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/internal/harbortest"
)

// The program is killed in the midst of transfers, again and again, on one folder.
// What it serves is right at any time, nothing of the disk is lost, and what the
// operator took away stays away.
func TestKilledWhileItFills(t *testing.T) {
	const (
		kills     = 50
		fills     = 20
		blobs     = 80 // more than the cache may hold, so that there is always something to fetch
		rate      = 6 << 20
		mostAlive = 500 * time.Millisecond
	)
	w := newCacheWorld(t, settings{maxSize: "64MiB"})
	w.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, Rate: rate}) // bytes a second, of each
	var all []blob
	for i := range uint64(blobs) {
		all = append(all, w.pushBlob(t, []string{"team-a/one", "team-a/two", "library/three"}[i%3], i, 1<<20+int(i%4)<<20/2))
	}
	// Content is shared: that the twin has it tells nothing of the right to taken's.
	taken, twin := w.pushBlob(t, "team-a/taken", blobs, 1<<20), w.pushBlob(t, "team-a/twin", blobs, 1<<20)
	blocked := w.pushBlob(t, "team-a/one", blobs+1, 1<<20)
	if _, status := w.cache(t, "block", blocked.digest.String()); status != 0 {
		t.Fatalf("cache block: exit status %d", status)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var whole atomic.Int64
	for kill := range kills {
		w.checkBlob(t, twin)
		w.harbor.ResetRequests()
		w.checkBlob(t, taken)
		if asked := w.contentRequests(); !heardOf(asked, "HEAD", taken.path()) && !heardOf(asked, "GET", taken.path()) {
			t.Errorf("kill %d: what was purged is served without Harbor", kill)
		}
		w.held(t, taken)
		var clients sync.WaitGroup
		for _, i := range random.Perm(blobs)[:fills] {
			clients.Go(func() {
				if w.checkPrefix(t, all[i]) {
					whole.Add(1)
				}
			})
		}
		time.Sleep(time.Duration(random.Int64N(int64(mostAlive))))
		keep[purged](t, w, "purge", []string{taken.repository, taken.digest.String()}[kill%2])
		w.breakwater.kill() // it has just said that the purge is done
		clients.Wait()

		w.serveAgain(t)
		if left := filesBelow(t, filepath.Join(w.dir, "partial")); len(left) > 0 {
			t.Errorf("kill %d: partial transfers were left: %v", kill, left)
		}
		w.checkAccounts(t)
		for _, entry := range keep[heldEntry](t, w, "ls") {
			for _, link := range entry.Links {
				if link.Repository == taken.repository {
					t.Errorf("kill %d: what was purged is there again: %+v", kill, entry)
				}
			}
		}
		if resp, body := w.ask(t, blocked.path(), nil); resp.StatusCode != http.StatusForbidden {
			t.Errorf("kill %d: a blocked digest: status %d: %.200s", kill, resp.StatusCode, body)
		}
		if t.Failed() {
			return
		}
	}
	w.harbor.ClearFaults()
	for _, b := range all {
		w.checkBlob(t, b)
	}
	output, status := w.cache(t, "verify", "--rate", "0")
	if status != 0 || len(output) == 0 {
		t.Errorf("cache verify: exit status %d: %s", status, output)
	}
	t.Logf("%d bodies were whole before a kill", whole.Load())
	if whole.Load() == 0 {
		t.Error("no transfer ended before a kill: the kills came too early to tell anything")
	}
}

// checkPrefix pulls a blob from a program that may die meanwhile, and tells whether
// all of it came. What came must be right.
func (w *cacheWorld) checkPrefix(t *testing.T, b blob) bool {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + w.breakwater.registry + b.path())
	if err != nil {
		return false // killed
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		t.Errorf("GET %s: status %d: %.200s", b.path(), resp.StatusCode, body)
		return false
	}
	if err == nil && len(body) != len(b.content) || !bytes.HasPrefix(b.content, body) {
		t.Errorf("GET %s: %d bytes came that are not those that were pushed, error %v", b.path(), len(body), err)
	}
	return err == nil
}
