package clientkit_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/clientkit"
)

// hold locks a folder as anybody can who may read it.
func hold(t *testing.T, dir string) (release func()) {
	t.Helper()
	other, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { _ = other.Close() }
}

// doings are what is done to a folder, under its lock.
func doings(t *testing.T, dir string) map[string]func(context.Context) ([]clientkit.Change, error) {
	return map[string]func(context.Context) ([]clientkit.Change, error){
		"write": func(ctx context.Context) ([]clientkit.Change, error) {
			return clientkit.Write(ctx, dir, files(t, there))
		},
		"remove": func(ctx context.Context) ([]clientkit.Change, error) { return clientkit.Remove(ctx, dir) },
	}
}

// Whoever can read a folder can hold its lock for ever: that is told, whoever waits can
// be told to stop, and nothing is done in either case.
func TestALockedFolderIsTold(t *testing.T) {
	dir := lay(t, with(nil, files(t, here)))
	defer hold(t, dir)()
	for name, do := range doings(t, dir) {
		synctest.Test(t, func(t *testing.T) {
			changes, err := do(t.Context())
			if err == nil || !strings.Contains(err.Error(), dir+": somebody else holds the lock") || len(changes) > 0 {
				t.Errorf("%s: %v, %v", name, changes, err)
			}
			stop := errors.New("told to stop")
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, stop)
			defer cancel()
			if changes, err := do(ctx); !errors.Is(err, stop) || len(changes) > 0 {
				t.Errorf("%s: %v, %v", name, changes, err)
			}
		})
	}
	check(t, "the folder", found(t, dir), with(nil, files(t, here)))
}

// A lock that is given back in time is waited for.
func TestALockIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	release := hold(t, dir)
	synctest.Test(t, func(t *testing.T) {
		time.AfterFunc(2*time.Second, release)
		if changes, err := clientkit.Write(t.Context(), dir, files(t, here)); err != nil || len(changes) != 3 {
			t.Errorf("%v, %v", changes, err)
		}
	})
}

// meanwhile is a context that is looked at before each file, when something happens.
type meanwhile struct {
	context.Context
	do func()
}

func (m meanwhile) Err() error {
	m.do()
	return m.Context.Err()
}

// Whoever is told to stop does not begin another file.
func TestStops(t *testing.T) {
	before := with(nil, files(t, here))
	for name, test := range map[string]struct {
		holds   map[string]string
		changes []string
	}{
		"write":  {with(before, files(t, there)[:1]), []string{"written docker.io/hosts.toml"}},
		"remove": {with(nil, files(t, here)[:2]), []string{"removed _default/hosts.toml"}},
	} {
		dir := lay(t, before)
		ctx, cancel := context.WithCancel(t.Context())
		looks := 0
		changes, err := doings(t, dir)[name](meanwhile{ctx, func() {
			if looks++; looks == 2 {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "stopped before "+dir) {
			t.Errorf("%s: %v", name, err)
		}
		check(t, name, whats(changes), test.changes)
		check(t, name, found(t, dir), test.holds)
	}
}

// A folder of a name that no registry has is nobody's that we know, and its name, which
// may hold anything, is not printed.
func TestOddFoldersAreLeftAlone(t *testing.T) {
	odd := map[string]string{"x\x1b[2K\nremoved w/hosts.toml": "# breakwater client-config: odd\n"}
	dir := lay(t, odd)
	if changes, err := clientkit.Remove(t.Context(), dir); err != nil || len(changes) > 0 {
		t.Errorf("%v, %v", changes, err)
	}
	if changes, err := clientkit.Write(t.Context(), dir, files(t, here)); err != nil || len(changes) != 3 {
		t.Errorf("%v, %v", changes, err)
	}
	check(t, "the folder", found(t, dir), with(odd, files(t, here)))
}

// Nor does the name of a certificate reach the terminal as it is.
func TestOddCertificates(t *testing.T) {
	dir := lay(t, map[string]string{filepath.Join("docker.io", "\x1b[2K\nwritten x.crt"): ""})
	changes, err := clientkit.Write(t.Context(), dir, files(t, here)[:1])
	if err != nil || len(changes) != 1 || !strings.Contains(changes[0].Note, `"\x1b[2K\nwritten x.crt"`) {
		t.Errorf("%+v, %v", changes, err)
	}
}
