package clientkit_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"breakwater/internal/clientkit"
)

// Whoever can read a folder can hold its lock for ever: that is told, and nothing written.
func TestALockedFolderIsTold(t *testing.T) {
	dir := t.TempDir()
	other, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	changes, err := clientkit.Write(t.Context(), dir, []clientkit.File{{Path: "docker.io/hosts.toml", Text: "x"}})
	if err == nil || !strings.Contains(err.Error(), "holds the lock") || len(changes) > 0 {
		t.Errorf("%v, %v", changes, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// A folder of a name that no registry has is nobody's that we know, and its name, which
// may hold anything, is not printed.
func TestOddFoldersAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "x\x1b[2K\nremoved w")
	if err := os.Mkdir(odd, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(odd, "hosts.toml")
	if err := os.WriteFile(file, []byte("# breakwater client-config: odd\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	changes, err := clientkit.Remove(t.Context(), dir)
	if err != nil || len(changes) > 0 {
		t.Errorf("%v, %v", changes, err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}
