package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestLockWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := memoryDir(t)
		first, err := Take(t.Context(), dir, 0, nil)
		must(t, err)
		core, logged := observer.New(zap.WarnLevel)

		began := time.Now()
		_, err = Take(t.Context(), dir, 10*time.Second, zap.New(core))
		var locked *LockedError
		if !errors.As(err, &locked) || locked.PID != os.Getpid() || !locked.Since.Equal(began) {
			t.Errorf("Take: %v", err)
		}
		if got := time.Since(began); got != 10*time.Second {
			t.Errorf("it waited %v", got)
		}
		if logged.Len() != 1 || !logged.All()[0].Time.Equal(began) || !strings.Contains(logged.All()[0].Message, "waiting") {
			t.Errorf("log: %v", logged.All())
		}
		if _, err := Take(t.Context(), dir, 0, zap.New(core)); !errors.As(err, &locked) || logged.Len() != 1 {
			t.Errorf("without waiting: %v, log %v", err, logged.All())
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Take(ctx, dir, time.Hour, nil); !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &locked) {
			t.Errorf("interrupted: %v", err)
		}

		go func() {
			time.Sleep(3 * time.Second)
			if err := first.Close(); err != nil {
				t.Error(err)
			}
		}()
		second, err := Take(t.Context(), dir, 10*time.Second, nil)
		must(t, err)
		must(t, second.Close())
	})
}

// A label that says nothing does not hide that the folder is taken.
func TestLockWithoutLabel(t *testing.T) {
	dir := memoryDir(t)
	first, err := Take(t.Context(), dir, 0, nil)
	must(t, err)
	defer func() { must(t, first.Close()) }()
	for _, label := range []string{"", "{", "null", strings.Repeat("x", 100_000)} {
		must(t, os.WriteFile(filepath.Join(dir, "lock"), []byte(label), 0o600))
		_, err := Take(t.Context(), dir, 0, nil)
		if locked := new(LockedError); !errors.As(err, &locked) || !strings.Contains(err.Error(), "another process") {
			t.Errorf("label %.10q: %v", label, err)
		}
	}
}
