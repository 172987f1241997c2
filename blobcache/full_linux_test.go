package blobcache_test

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"breakwater/blobcache"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// mounted is a small file system of its own.
func mounted(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size+",mode=0700"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func readOnly(t *testing.T, dir string, yes bool) {
	t.Helper()
	flags := uintptr(syscall.MS_REMOUNT)
	if yes {
		flags |= syscall.MS_RDONLY
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, ""); err != nil {
		t.Fatal(err)
	}
}

// observed notes what is logged.
func observed(o *blobcache.Options) *observer.ObservedLogs {
	core, logs := observer.New(zapcore.WarnLevel)
	o.Log = zap.New(core)
	return logs
}

// A folder that cannot be written at start is told by one line and one event, and
// pulls go past the cache.
func TestAFolderThatFailsAtStart(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, string){
		"read-only": func(t *testing.T, dir string) { readOnly(t, dir, true) },
		"full": func(t *testing.T, dir string) {
			file, err := os.Create(filepath.Join(dir, "others"))
			if err != nil {
				t.Fatal(err)
			}
			for err == nil {
				_, err = file.Write(make([]byte, 4*kib))
			}
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := mounted(t, "256k")
			spoil(t, dir)
			var logs *observer.ObservedLogs
			w := open(t, dir, func(o *blobcache.Options) { logs = observed(o) })
			if got := logs.FilterMessageSnippet("cannot be used").Len(); got != 1 || w.events.told("failed open") != 1 {
				t.Errorf("%d lines, told %v", got, w.events.said)
			}
			goesPast(w)
			w.stop() // before the file system goes
		})
	}
}

// A folder that gets read-only while it is used: what is held is served on, what is
// not goes past.
func TestAFolderThatGetsReadOnly(t *testing.T) {
	dir := mounted(t, "64m")
	w := open(t, dir)
	from := newRepository("a")
	held, next := from.push(1, mib), from.push(2, mib)
	document, body := content(3, 3000)
	w.fetched(from, held)
	w.Keep(document, body)
	w.restart() // all is written; and nothing is open that could be written
	w.stop()
	readOnly(t, dir, true)
	readOnly(t, dir, false)
	w.start()
	// bbolt and the lock hold files open for writing: such a file system cannot be
	// made read-only. A folder in which no file can be made is the next best.
	if err := os.RemoveAll(filepath.Join(dir, "partial")); err != nil {
		t.Fatal(err)
	}
	if !w.holds(held) {
		t.Error("what is held is not served")
	}
	if got, ok := w.Document(t.Context(), document); !ok || !bytes.Equal(got, body) {
		t.Error("a document is not served")
	}
	w.fetched(from, next)
	if w.Held(next) || w.events.told("bypassed disk") != 1 || w.events.told("failed open") != 1 {
		t.Errorf("held %t, told %v", w.Held(next), w.events.said)
	}
	w.stop()
}

// The disk is full in the middle of a transfer, and nothing can be evicted: everybody
// goes on from where the file ends.
func TestTheDiskGetsFullInATransfer(t *testing.T) {
	dir := mounted(t, "4m")
	w := open(t, dir)
	from := newRepository("a")
	d, small := from.push(1, 6*mib), from.push(2, 256*kib)
	hold := make(chan struct{})
	from.set(func() { from.hold = hold })
	bodies := make(chan []byte)
	for range 3 {
		blob, _, err := w.Join(t.Context(), d, from.source(d))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			body, err := all(t.Context(), blob)
			if err != nil {
				t.Error(err)
			}
			_ = blob.Close()
			bodies <- body
		}()
	}
	close(hold)
	_, want := content(1, 6*mib)
	for range 3 {
		if body := <-bodies; !bytes.Equal(body, want) {
			t.Errorf("%d bytes, and not the right ones", len(body))
		}
	}
	w.settled(d)
	if w.Held(d) || w.events.told("bypassed room") != 1 {
		t.Errorf("held %t, told %v", w.Held(d), w.events.said)
	}
	for w.Stats().Disk.Bytes > 0 { // its bytes are free when its file is closed
		time.Sleep(time.Millisecond)
	}
	if w.fetched(from, small); !w.holds(small) {
		t.Error("a small one is not kept after that")
	}
	w.stop()
}
