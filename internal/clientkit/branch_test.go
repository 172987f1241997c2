package clientkit_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"breakwater/internal/clientkit"
)

// What others put into a folder after all was looked at, and before it is written or
// removed, is not followed and not replaced.
func TestExchanged(t *testing.T) {
	const mine = "# mine\n"
	wanted := files(t, here)[:1] // docker.io
	before := with(map[string]string{"gcr.io/hosts.toml": mine, "gcr.io/.hosts.toml.breakwater": mine}, wanted)
	write := func(ctx context.Context, dir string) ([]clientkit.Change, error) {
		return clientkit.Write(ctx, dir, wanted)
	}
	rewrite := func(ctx context.Context, dir string) ([]clientkit.Change, error) {
		return clientkit.Write(ctx, dir, files(t, there)[:1])
	}
	link := func(folder string) error {
		if err := os.Rename(folder, folder+".old"); err != nil {
			return err
		}
		return os.Symlink("gcr.io", folder)
	}
	for name, test := range map[string]struct {
		do       func(context.Context, string) ([]clientkit.Change, error)
		exchange func(folder string) error
		says     string
	}{
		"a folder, written": {rewrite, link, "docker.io is not a folder (a symbolic link is not followed)"},
		"a folder, removed": {clientkit.Remove, link, "docker.io is not a folder (a symbolic link is not followed)"},
		"a file": {rewrite, func(folder string) error {
			return os.WriteFile(filepath.Join(folder, "hosts.toml"), []byte(mine), 0o600)
		}, "docker.io/hosts.toml was written by somebody else"},
		"a file, by a link": {write, func(folder string) error {
			if err := os.Rename(filepath.Join(folder, "hosts.toml"), filepath.Join(folder, "other")); err != nil {
				return err
			}
			return os.Symlink("other", filepath.Join(folder, "hosts.toml"))
		}, "docker.io/hosts.toml was written by somebody else"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := lay(t, before)
			var after map[string]string
			changes, err := test.do(meanwhile{t.Context(), func() {
				if after != nil {
					return
				}
				if err := test.exchange(filepath.Join(dir, "docker.io")); err != nil {
					t.Error(err)
				}
				after = found(t, dir)
			}}, dir)
			if err == nil || !strings.Contains(err.Error(), test.says) || len(changes) > 0 {
				t.Errorf("%v, %v: want nothing done, and %q", changes, err, test.says)
			}
			check(t, "the folder", found(t, dir), after)
		})
	}
}

// What would keep its reader waiting is not opened.
func TestExchangedForAPipe(t *testing.T) {
	wanted := files(t, here)[:1]
	dir := lay(t, with(nil, wanted))
	file := filepath.Join(dir, wanted[0].Path)
	_, err := clientkit.Write(meanwhile{t.Context(), func() {
		if err := os.Remove(file); err != nil {
			t.Error(err)
		}
		if err := syscall.Mkfifo(file, 0o600); err != nil {
			t.Error(err)
		}
	}}, dir, wanted)
	if err == nil || !strings.Contains(err.Error(), "was written by somebody else") {
		t.Error(err)
	}
}

// A file that begins as ours do may be of any length.
func TestLongFile(t *testing.T) {
	wanted := files(t, here)[:1]
	dir := lay(t, with(nil, wanted))
	const long = 64 << 20
	if err := os.Truncate(filepath.Join(dir, wanted[0].Path), long); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	changes, err := clientkit.Write(t.Context(), dir, wanted)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "changes", whats(changes), []string{"written docker.io/hosts.toml"})
	check(t, "the folder", found(t, dir), with(nil, wanted))
	if held := after.TotalAlloc - before.TotalAlloc; held > long/8 {
		t.Errorf("%d bytes of memory for a file of %d", held, long)
	}
}
