package config_test

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/config"
)

// TestWatchNoticesEveryWayOfWriting changes files as different tools do, and
// looks at what Run tells at its next tick.
func TestWatchNoticesEveryWayOfWriting(t *testing.T) {
	folder := t.TempDir()
	in := func(names ...string) string { return filepath.Join(append([]string{folder}, names...)...) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(path, content string) { must(os.WriteFile(path, []byte(content), 0o600)) }

	// As Kubernetes mounts a secret: password → ..data/password, ..data → ..one.
	must(os.Mkdir(in("..one"), 0o700))
	must(os.Mkdir(in("..two"), 0o700))
	write(in("..one", "password"), "first")
	write(in("..two", "password"), "second")
	must(os.Symlink("..one", in("..data")))
	must(os.Symlink("..data/password", in("password")))
	write(in("ca.pem"), "authority")
	write(in("cert.pem"), "certificate")

	steps := []struct {
		what   string
		change func()
		want   []string
	}{
		{"nothing", func() {}, nil},
		{"symbolic link swapped", func() {
			must(os.Symlink("..two", in("..data_tmp")))
			must(os.Rename(in("..data_tmp"), in("..data")))
		}, []string{in("password")}},
		{"nothing again", func() {}, nil},
		{"in place, same size", func() { write(in("ca.pem"), "Authority") }, []string{in("ca.pem")}},
		{"touched", func() { must(os.Chtimes(in("ca.pem"), time.Unix(1, 0), time.Unix(1, 0))) }, nil},
		{"same content written", func() { write(in("ca.pem"), "Authority") }, nil},
		{"renamed over, and one more", func() {
			write(in("new"), "renewed")
			must(os.Rename(in("new"), in("cert.pem")))
			write(in("ca.pem"), "")
		}, []string{in("ca.pem"), in("cert.pem")}},
		{"gone", func() { must(os.Remove(in("cert.pem"))) }, []string{in("cert.pem")}},
		{"still gone", func() {}, nil},
		{"empty is not gone", func() { write(in("cert.pem"), "") }, []string{in("cert.pem")}},
		{"came after all", func() { write(in("late"), "x") }, []string{in("late")}},
	}
	synctest.Test(t, func(t *testing.T) {
		const every = 10 * time.Second
		watched := config.Watch([]string{in("ca.pem"), in("cert.pem"), in("password"), in("late")})
		ctx, cancel := context.WithCancel(t.Context())
		calls := make(chan []string, 1)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			watched.Run(ctx, every, func(files []string) { calls <- files })
		}()
		for _, step := range steps {
			step.change()
			time.Sleep(every)
			synctest.Wait()
			var told []string
			select {
			case told = <-calls:
			default:
			}
			if !reflect.DeepEqual(told, step.want) {
				t.Errorf("%s: told of %q, want %q", step.what, told, step.want)
			}
		}
		cancel()
		<-ended
	})
}

// TestWatchMissesNothingBeforeRun changes a file between Watch and Run.
func TestWatchMissesNothingBeforeRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	watched := config.Watch([]string{file})
	if err := os.WriteFile(file, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		calls := 0
		watched.Run(ctx, time.Second, func([]string) { calls++; cancel() })
		if calls != 1 {
			t.Errorf("told %d times, want once", calls)
		}
	})
}
