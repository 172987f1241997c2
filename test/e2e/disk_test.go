//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// ramDisk mounts a file system of the given size, in MiB, which is gone with the
// test. It returns a folder on it for the cache.
func ramDisk(t *testing.T, size int) (mount, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root: please run `make e2e` as root")
	}
	mount = t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, fmt.Sprintf("size=%dm", size)); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", mount, err)
		}
	})
	return mount, filepath.Join(mount, "cache")
}

// Somebody else fills the disk under the program. What is asked for comes, kept or
// not; and is kept again when there is room.
func TestDiskFull(t *testing.T) {
	mount, dir := ramDisk(t, 40)
	w := newCacheWorld(t, settings{dir: dir})
	held := w.pushBlob(t, "team-a/full", 1, 2<<20)
	w.checkBlob(t, held)
	w.held(t, held)

	filler := filepath.Join(mount, "filler")
	occupy(t, filler)
	for seed := range uint64(6) { // the first evicts what was held, the others go by
		w.checkBlob(t, w.pushBlob(t, "team-a/full", 10+seed, 3<<20))
	}
	w.checkBlob(t, held)
	if n := w.value(t, "cache_bypasses_total", "", ""); n == 0 {
		t.Error("cache_bypasses_total counts nothing")
	}

	mustDo(t, os.Remove(filler))
	again := w.pushBlob(t, "team-a/full", 20, 3<<20)
	eventually(t, "blobs are kept again", func() bool { // the disk is looked at every five seconds
		w.checkBlob(t, again)
		_, err := os.Stat(w.file(again.digest))
		return err == nil
	})
	w.held(t, again)
	w.checkAccounts(t)
	w.stop(t)
	w.checkTold(t, "a blob cannot be kept; its readers are served past the cache")
}

// occupy writes a file until the disk is full.
func occupy(t *testing.T, path string) {
	t.Helper()
	file := must(os.Create(path))(t)
	for _, chunk := range []int{1 << 20, 4096} {
		for {
			if _, err := file.Write(make([]byte, chunk)); err != nil {
				break
			}
		}
	}
	mustDo(t, file.Close())
}

// The disk fails under the program, and the kernel makes it read-only. What is held is
// served, the rest comes and is not kept. So it is after a restart; and when the disk
// was mended, what was held is there.
func TestDiskTurnsReadOnly(t *testing.T) {
	disk := newFailingDisk(t)
	w := newCacheWorld(t, settings{dir: filepath.Join(disk.mount, "cache")})
	held, cold := w.pushBlob(t, "team-a/disk", 1, 2<<20), w.pushBlob(t, "team-a/disk", 2, 2<<20)
	manifest := "/v2/team-a/app/manifests/" + digestOf(t, w.harbor.app).String()
	w.checkBlob(t, held)
	w.held(t, held)
	time.Sleep(1500 * time.Millisecond) // the index is written within a second
	disk.fail(t)

	w.harbor.ResetRequests()
	w.checkBlob(t, held)
	if asked := w.contentRequests(); len(asked) > 0 {
		t.Errorf("what is held was asked for: %v", asked)
	}
	w.checkBlob(t, cold)
	w.checkManifest(t, manifest)
	if n := w.value(t, "cache_bypasses_total", "reason", "disk"); n == 0 {
		t.Error(`cache_bypasses_total{reason="disk"} counts nothing`)
	}
	if n := w.value(t, "cache_disk_failures_total", "", ""); n == 0 {
		t.Error("cache_disk_failures_total counts nothing")
	}
	w.endOnBrokenDisk(t)
	w.checkTold(t, "the cache's disk refused an operation")

	w.serveAgain(t)
	w.checkBlob(t, held)
	w.checkBlob(t, cold)
	w.checkManifest(t, manifest)
	if n := w.value(t, "cache_disk_failures_total", "operation", "open"); n == 0 {
		t.Error(`cache_disk_failures_total{operation="open"} counts nothing`)
	}
	w.stop(t)
	w.checkTold(t, "the cache folder cannot be used")

	disk.mend(t)
	w.serveAgain(t)
	w.harbor.ResetRequests()
	w.checkBlob(t, held)
	if asked := w.contentRequests(); len(asked) > 0 {
		t.Errorf("what was held before the disk failed was asked for: %v", asked)
	}
	w.checkBlob(t, cold)
	w.held(t, cold)
	w.checkAccounts(t)
}

// endOnBrokenDisk ends a program whose last words its disk does not take: that is an error, and
// the exit status says so.
func (w *cacheWorld) endOnBrokenDisk(t *testing.T) {
	t.Helper()
	err := w.breakwater.stop()
	t.Logf("its end on a broken disk: %v", err)
	w.breakwater.killed = true // its end was looked at
}

func (w *cacheWorld) checkManifest(t *testing.T, path string) {
	t.Helper()
	resp, body := w.ask(t, path, nil)
	if resp.StatusCode != http.StatusOK || !strings.HasSuffix(path, digest.FromBytes(body).Encoded()) {
		t.Errorf("GET %s: status %d: %.200s", path, resp.StatusCode, body)
	}
}

// A failingDisk is an ext4 file system in a file.
type failingDisk struct{ image, mount string }

func newFailingDisk(t *testing.T) *failingDisk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting a file system needs root: please run `make e2e` as root")
	}
	dir := t.TempDir()
	d := &failingDisk{filepath.Join(dir, "image"), filepath.Join(dir, "mount")}
	mustDo(t, os.Mkdir(d.mount, 0o700))
	mustDo(t, os.WriteFile(d.image, nil, 0o600))
	mustDo(t, os.Truncate(d.image, 64<<20))
	if output, err := command("mkfs.ext4", "-q", d.image); err != nil {
		t.Skipf("no ext4 file system can be made here: %v: %s", err, output)
	}
	if output, err := d.attach(); err != nil {
		t.Skipf("no file can be mounted here: %v: %s", err, output)
	}
	t.Cleanup(func() {
		if output, err := command("umount", d.mount); err != nil {
			t.Errorf("umount: %v: %s", err, output)
		}
	})
	return d
}

func (d *failingDisk) attach() ([]byte, error) {
	return command("mount", "-o", "loop,errors=remount-ro", d.image, d.mount)
}

// fail has the kernel believe that the disk failed; programs keep their files open.
func (d *failingDisk) fail(t *testing.T) {
	t.Helper()
	if output, err := command("mount", "-o", "remount,abort", d.mount); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}

// mend checks the file system and mounts it anew. Nobody may use it.
func (d *failingDisk) mend(t *testing.T) {
	t.Helper()
	if output, err := command("umount", d.mount); err != nil {
		t.Fatalf("umount: %v: %s", err, output)
	}
	output, err := command("fsck.ext4", "-f", "-y", d.image)
	if failed := new(exec.ExitError); errors.As(err, &failed) && failed.ExitCode() > 1 { // 1: errors were corrected
		t.Fatalf("fsck: %v: %s", err, output)
	}
	if output, err := d.attach(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}

// command runs a tool of the system.
func command(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
		cmd.Path, cmd.Err = path, nil
	}
	return cmd.CombinedOutput()
}
