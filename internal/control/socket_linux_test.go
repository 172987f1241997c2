package control_test

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"testing"

	"breakwater/internal/control"
)

// TestAnotherUserIsRefused asks as another user, in a folder that is open to
// everybody. For that it must be root: the thread's fsuid decides about files,
// and takes root's override with it (setfsuid(2)).
func TestAnotherUserIsRefused(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	dir, err := os.MkdirTemp("", "control")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cache := held()
	serve(t, dir, cache)

	refused := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its other user
		if err := syscall.Setfsuid(65534); err != nil {
			refused <- err
			return
		}
		_, err := control.Dial(t.Context(), dir)
		refused <- err
	}()
	if err := <-refused; !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Dial as another user = %v, want permission denied", err)
	}
	if _, err := dial(t, dir).Stat(); err != nil {
		t.Errorf("root: %v", err)
	}
}
