package control_test

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"breakwater/internal/control"
)

func TestTheSocketIsItsOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir, held())
	info, err := os.Lstat(filepath.Join(dir, control.Socket))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode(), fs.ModeSocket|0o600; got != want {
		t.Errorf("the socket is %v, want %v", got, want)
	}
	if found, err := os.ReadDir(dir); err != nil || len(found) != 1 {
		t.Errorf("in the folder: %v (%v), want the socket alone", found, err)
	}
}

// TestLongPaths has folders whose sockets have paths round the limit of a
// sockaddr_un, and far beyond.
func TestLongPaths(t *testing.T) {
	base := t.TempDir()
	for length := len(base) + 2; length < 130; length++ {
		longPath(t, base, length)
	}
	longPath(t, base, 1000)
}

func longPath(t *testing.T, base string, length int) {
	dir := base
	for len(dir) < length {
		dir += "/" + strings.Repeat("d", min(200, max(1, length-len(dir)-1)))
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	server := serve(t, dir, held())
	client := dial(t, dir)
	if stat, err := client.Stat(); err != nil || stat.Objects != 7 {
		t.Errorf("with a path of %d bytes: %+v, %v", len(dir), stat, err)
	}
	if err := server.Close(); err != nil {
		t.Errorf("with a path of %d bytes: %v", len(dir), err)
	}
}

// TestASocketThatWasLeftIsReplaced is what follows a kill -9.
func TestASocketThatWasLeftIsReplaced(t *testing.T) {
	dir := t.TempDir()
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, control.Socket), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	// And killed at the worst moment.
	if err := os.MkdirAll(filepath.Join(dir, "."+control.Socket, "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	serve(t, dir, held())
	if stat, err := dial(t, dir).Stat(); err != nil || stat.Objects != 7 {
		t.Errorf("Stat = %+v, %v", stat, err)
	}
}

// Somebody who empties the folder takes the socket too.
func TestASocketThatIsGoneIsNoError(t *testing.T) {
	dir := t.TempDir()
	server := serve(t, dir, held())
	if err := os.Remove(filepath.Join(dir, control.Socket)); err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
}
