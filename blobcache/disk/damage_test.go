package disk

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// What may happen to a file behind our back, and what is told about it.
func TestFileChangedAtRest(t *testing.T) {
	b := content(1, 3*4096+5)
	flipped := append([]byte(nil), b...)
	flipped[5000] ^= 1
	rewrite := func(to []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) { must(t, os.WriteFile(path, to, 0o600)) }
	}
	for _, c := range []struct {
		name   string
		change func(*testing.T, string)
		how    string // "": the blob is right, and served
	}{
		{"truncated", func(t *testing.T, path string) { must(t, os.Truncate(path, 5000)) }, "size"},
		{"emptied", rewrite(nil), "size"},
		{"longer", rewrite(append(b, 0)), "size"},
		{"flipped", rewrite(flipped), "modified"},
		{"removed", func(t *testing.T, path string) { must(t, os.Remove(path)) }, "read"},
		{"touched", func(t *testing.T, path string) { must(t, os.Chtimes(path, time.Now(), time.Unix(1e9, 0))) }, ""},
		{"touched to the epoch", func(t *testing.T, path string) { must(t, os.Chtimes(path, time.Now(), time.Unix(0, 0))) }, ""},
		{"rewritten as it was", rewrite(b), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			core, logged := observer.New(zap.WarnLevel)
			w := newWorld(t, func(o *Options) { o.Log = zap.New(core) })
			d := w.put(b)
			c.change(t, w.path(d))
			if c.how == "" {
				w.wantHeld(d, b)
				w.wantHeld(d, b)
				if f, _ := w.records.fact(d); f.size != int64(len(b)) {
					t.Errorf("remembered: %+v", f)
				}
				return
			}
			w.wantAbsent(d)
			if w.events.of(w.events.damaged, c.how) != 1 || len(w.events.damaged) != 1 || w.events.of(w.events.evicted, "damaged") != 1 {
				t.Errorf("damaged %v, evicted %v; want %q once", w.events.damaged, w.events.evicted, c.how)
			}
			if logged.Len() != 1 {
				t.Errorf("%d log lines: %v", logged.Len(), logged.All())
			}
			if _, ok := w.records.fact(d); ok {
				t.Error("it is still remembered")
			}
			w.wantSound()
			w.put(b)
			w.wantHeld(d, b)
		})
	}
}

// A flipped bit under a restored modification time is found by Verify only.
func TestVerifyFindsSilentDamage(t *testing.T) {
	w := newWorld(t, nil)
	b := content(1, 300_000)
	d := w.put(b)
	must(t, w.Verify(t.Context(), d, 0))
	info, err := os.Stat(w.path(d))
	must(t, err)
	f, err := os.OpenFile(w.path(d), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{^b[200_000]}, 200_000)
	must(t, errors.Join(err, f.Close(), os.Chtimes(w.path(d), time.Time{}, info.ModTime())))

	var damage *DamagedError
	if err := w.Verify(t.Context(), d, 0); !errors.As(err, &damage) || damage.How != "digest" || damage.Digest != d {
		t.Fatalf("Verify: %v", err)
	}
	w.wantAbsent(d)
	if err := w.Verify(t.Context(), d, 0); !errors.Is(err, ErrAbsent) {
		t.Errorf("Verify of nothing: %v", err)
	}
}

// A reader that meets an error of the disk says so; the blob goes, once.
func TestReaderTellsDamage(t *testing.T) {
	w := newWorld(t, nil)
	b := content(1, 5000)
	d := w.put(b)
	blob, err := w.Store.Open(t.Context(), d)
	must(t, err)
	blob.Damaged(errors.New("input/output error"))
	blob.Damaged(errors.New("input/output error"))
	w.wantAbsent(d)
	must(t, blob.Close())
	if w.events.of(w.events.damaged, "read") != 1 || w.Stats().Bytes != 0 {
		t.Errorf("damaged %v, %+v", w.events.damaged, w.Stats())
	}
}

// A process that has too many files open has no damaged blobs.
func TestCannotOpenIsNotDamage(t *testing.T) {
	w := newWorld(t, nil)
	b := content(1, 5000)
	d := w.put(b)
	emfile := errors.New("too many open files")
	w.folder.fault = func(string) error { return emfile }
	if _, err := w.Store.Open(t.Context(), d); !errors.Is(err, emfile) {
		t.Errorf("Open: %v", err)
	}
	if err := w.Verify(t.Context(), d, 0); !errors.Is(err, emfile) {
		t.Errorf("Verify: %v", err)
	}
	w.folder.fault = nil
	w.wantHeld(d, b)
	if w.events.of(w.events.failed, "open") != 2 {
		t.Errorf("failed: %v", w.events.failed)
	}
}

// Verify keeps its rate: 1 MiB at 64 KiB/s takes 16 s of a clock that nobody waits for.
func TestVerifyAtRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		defer w.stop()
		d := w.put(content(1, 1<<20))
		for rate, want := range map[int64]time.Duration{0: 0, 64 << 10: 16 * time.Second, 1 << 20: time.Second} {
			began := time.Now()
			must(t, w.Verify(t.Context(), d, rate))
			if got := time.Since(began); got != want {
				t.Errorf("at %d bytes/s it took %v, want %v", rate, got, want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := w.Verify(ctx, d, 64<<10); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("interrupted: %v", err)
		}
		var all sync.WaitGroup
		all.Go(func() {
			if err := w.Verify(t.Context(), d, 1); !errors.Is(err, ErrClosed) {
				t.Errorf("in Close: %v", err)
			}
		})
		synctest.Wait()
		must(t, w.Close()) // does not wait for the twelve days
		all.Wait()
	})
}

// A cold blob is hashed once for all who open it, and not again.
func TestColdBlobIsHashedOnce(t *testing.T) {
	w := newWorld(t, nil)
	b := content(1, 4<<20)
	d := w.put(b)
	w = w.restart(false, nil)
	var opened int // by checks and by openers, who open again after the check
	var mu sync.Mutex
	w.folder.fault = func(operation string) error {
		mu.Lock()
		defer mu.Unlock()
		opened++
		return nil
	}
	puts := w.records.puts
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			blob, err := w.Store.Open(t.Context(), d)
			if err != nil {
				t.Error(err)
				return
			}
			if err := blob.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := w.records.puts - puts; got != 1 {
		t.Errorf("%d verifications were recorded, want 1", got)
	}
	if opened > 41 {
		t.Errorf("the file was opened %d times by 20 readers", opened)
	}
	before := opened
	w.wantHeld(d, b)
	if opened != before+1 {
		t.Errorf("a verified blob was opened %d times by one reader", opened-before)
	}
}

// Who cannot wait for a verification is told so; it goes on, and the next one is
// served.
func TestOpenWaitsForVerificationForFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		b := content(1, 10_000)
		d := w.put(b)
		w = w.restart(false, nil)
		defer w.stop()
		for range cap(w.hashing) { // others are being verified
			w.hashing <- struct{}{}
		}
		began := time.Now()
		if _, err := w.Store.Open(t.Context(), d); !errors.Is(err, ErrVerifying) || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := w.Store.Open(ctx, d); !errors.Is(err, ErrVerifying) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a second to wait: %v", err)
		}
		<-w.hashing
		w.wantHeld(d, b)
		if w.Stats().Pinned != 0 {
			t.Error("it stays pinned")
		}
	})
}

// Close ends a verification that waits for its turn.
func TestCloseEndsVerifications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		d := w.put(content(1, 10_000))
		w = w.restart(false, nil)
		defer w.stop()
		for range cap(w.hashing) {
			w.hashing <- struct{}{}
		}
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := w.Store.Open(t.Context(), d); !errors.Is(err, ErrClosed) {
				t.Errorf("Open: %v", err)
			}
		})
		synctest.Wait()
		must(t, w.Close())
		all.Wait()
	})
}

// Nothing but a digest that we can check becomes a file name.
func TestStrangeDigests(t *testing.T) {
	w := newWorld(t, nil)
	for _, d := range []digest.Digest{
		"", "sha256:", "sha256:../../../../etc/passwd", "md5:d41d8cd98f00b204e9800998ecf8427e",
		digest.Digest("sha256:" + string(make([]byte, 64))), "sha256:E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
		digest.SHA384.FromString(""), "sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	} {
		if _, err := w.Create(d, 1); err == nil || errors.Is(err, ErrNoRoom) {
			t.Errorf("Create(%q): %v", d, err)
		}
		if _, err := w.Store.Open(t.Context(), d); err == nil || errors.Is(err, ErrAbsent) {
			t.Errorf("Open(%q): %v", d, err)
		}
		if err := w.Verify(t.Context(), d, 0); err == nil || errors.Is(err, ErrAbsent) {
			t.Errorf("Verify(%q): %v", d, err)
		}
		w.Touch(d)
		if _, ok := w.Has(d); ok || w.Remove(d) {
			t.Errorf("%q is there", d)
		}
	}
}

func TestSHA512AndEmptyBlobs(t *testing.T) {
	w := newWorld(t, nil)
	for _, b := range [][]byte{nil, content(1, 9000)} {
		for _, size := range []int64{int64(len(b)), -1} {
			d := digest.SHA512.FromBytes(b)
			must(t, put(w.Store, d, b, size))
			w.wantHeld(d, b)
			if size, ok := w.Has(d); !ok || size != int64(len(b)) {
				t.Errorf("Has: %d %t", size, ok)
			}
			w = w.restart(false, nil)
			w.wantHeld(d, b)
			w.Remove(d)
		}
	}
}
