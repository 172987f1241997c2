//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"breakwater/internal/harbortest"
)

// Three times as much as the cache may hold goes through it. The folder has a file
// system of its own, which tells at each moment what is taken of it.
func TestMaxSizeHolds(t *testing.T) {
	const (
		maxSize  = 100 << 20
		images   = 300
		layer    = 1 << 20
		most     = maxSize + blockSize
		mostHeap = 96 << 20 // bytes; the memory tier may have 64 MiB of it
	)
	mount, dir := ramDisk(t, 300)
	w := newCacheWorld(t, settings{dir: dir, maxSize: "100MiB"})
	watching := watch(t, mount, dir)
	var pulling sync.WaitGroup
	for worker := range 3 {
		pulling.Go(func() {
			for i := worker; i < images; i += 3 {
				w.pullNew(t, i, layer)
			}
		})
	}
	pulling.Wait()
	taken, index := watching()
	if taken > most+index {
		t.Errorf("the folder took %d bytes, of which the index %d; want at most %d besides it", taken, index, most)
	}
	t.Logf("at most %d bytes of the folder were in use, of which %d by the index", taken, index)
	if n := w.value(t, "cache_evictions_total", "reason", "size"); n < images-maxSize/layer {
		t.Errorf("%v evictions, want %d at least", n, images-maxSize/layer)
	}
	w.held(t)
	w.checkAccounts(t)
	stat := w.stat(t)
	if stat.Budget != maxSize || stat.Bytes > maxSize || stat.Bytes < maxSize*8/10 {
		t.Errorf("%+v; want a budget of %d that is used", stat, maxSize)
	}
	if heap := int64(scrape(t, w.world)["go_memstats_heap_inuse_bytes"].GetMetric()[0].GetGauge().GetValue()); heap > mostHeap {
		t.Errorf("%d bytes of heap are in use, want at most %d", heap, mostHeap)
	}
}

// pullNew pushes an image and pulls it.
func (w *cacheWorld) pullNew(t *testing.T, i, layer int) {
	img, err := harbortest.Image(fmt.Sprint("image-", i), layer)
	if err != nil {
		t.Error(err)
		return
	}
	repository := fmt.Sprint("team-a/images/", i)
	if _, err := w.harbor.Push(repository, "1.0", img); err != nil {
		t.Error(err)
		return
	}
	w.pull(t, repository, img)
}

// watch looks at a file system until it is asked what was seen: the most that was
// taken of it, and the most that the files beside the blobs had, bytes.
func watch(t *testing.T, mount, dir string) func() (taken, index int64) {
	t.Helper()
	var taken, index int64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			var system syscall.Statfs_t
			if err := syscall.Statfs(mount, &system); err != nil {
				t.Error(err)
				return
			}
			taken = max(taken, int64(system.Blocks-system.Bfree)*system.Bsize)
			beside := int64(0)
			names, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil {
				t.Error(err)
				return
			}
			for _, name := range names {
				var info syscall.Stat_t
				if syscall.Lstat(name, &info) == nil { // it may be gone by now
					beside += info.Blocks * 512
				}
			}
			index = max(index, beside)
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	}()
	return func() (int64, int64) {
		close(stop)
		<-stopped
		return taken, index
	}
}
