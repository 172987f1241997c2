//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

// cache runs `breakwater cache`, with JSON as its output, and returns its exit status.
func (w *cacheWorld) cache(t *testing.T, args ...string) (output []byte, status int) {
	t.Helper()
	args = append([]string{"cache", "--config", w.config, "-o", "json"}, args...)
	cmd := newHome(t).command(tool(t, "breakwater"), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if failed := new(exec.ExitError); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if stderr.Len() > 0 && cmd.ProcessState.ExitCode() == 0 {
		t.Errorf("breakwater %s complains: %s", strings.Join(args, " "), &stderr)
	}
	return stdout.Bytes(), cmd.ProcessState.ExitCode()
}

// keep runs `breakwater cache`, which must succeed, and reads the values it prints.
func keep[T any](t *testing.T, w *cacheWorld, args ...string) []T {
	t.Helper()
	output, status := w.cache(t, args...)
	if status != 0 {
		t.Fatalf("breakwater cache %s: exit status %d: %s", strings.Join(args, " "), status, output)
	}
	return values[T](t, output)
}

// values reads JSON, one value a line.
func values[T any](t *testing.T, output []byte) (all []T) {
	t.Helper()
	for line := range bytes.Lines(output) {
		var value T
		decode(t, line, &value)
		all = append(all, value)
	}
	return all
}

// What `breakwater cache` prints, as far as these tests look.
type (
	statistics struct {
		Bytes, Budget   int64
		Objects, Pinned int
		Promised        int64
		Links, Tags     int
		Blocked         []digest.Digest
	}
	heldEntry struct {
		Digest digest.Digest
		Size   int64
		Tags   []string
		Links  []struct{ Repository, Kind string }
	}
	verdict struct {
		Digest digest.Digest
		Error  string
	}
	purged struct{ Objects, Links int }
)

func (w *cacheWorld) stat(t *testing.T) statistics {
	t.Helper()
	all := keep[statistics](t, w, "stat")
	if len(all) != 1 {
		t.Fatalf("cache stat printed %d values, want 1", len(all))
	}
	return all[0]
}

// checkAccounts compares what `cache stat` says with the files there are.
func (w *cacheWorld) checkAccounts(t *testing.T) {
	t.Helper()
	stat, files := w.stat(t), filesBelow(t, filepath.Join(w.dir, "blobs"))
	if len(files) != stat.Objects {
		t.Errorf("there are %d files of blobs, and cache stat says %d objects", len(files), stat.Objects)
	}
	used := int64(0)
	for _, info := range files {
		used += info.Sys().(*syscall.Stat_t).Blocks * 512
	}
	if off := used - stat.Bytes; off > blockSize*int64(len(files)) || off < -blockSize*int64(len(files)) {
		t.Errorf("blobs take %d bytes of the disk, and cache stat says %d", used, stat.Bytes)
	}
}

// filesBelow lists the files below a folder, by path.
func filesBelow(t *testing.T, dir string) map[string]fs.FileInfo {
	t.Helper()
	files := make(map[string]fs.FileInfo)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		files[path] = info
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
