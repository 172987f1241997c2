package index

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestDiskRefuses: every step fails for ten minutes. Memory goes on, every denial
// says that it is not durable yet, and once the disk takes something again all of
// it is, without being asked.
func TestDiskRefuses(t *testing.T) {
	for _, step := range []string{"", "journal write", "journal sync", "journal", "batch", "copy", "create"} {
		t.Run("step "+step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { refuse(t, step) })
		})
	}
}

func refuse(t *testing.T, failing string) {
	folder, crashed := t.TempDir(), t.TempDir()
	path := filepath.Join(folder, "index.db")
	var full atomic.Bool
	var events told
	core, logs := observer.New(zap.InfoLevel)
	x := mustOpen(t, Options{Path: path, Events: &events, Log: zap.New(core), fault: func(step string) error {
		if full.Load() && strings.HasPrefix(step, failing) {
			return &os.PathError{Op: step, Path: path, Err: syscall.ENOSPC}
		}
		return nil
	}})
	grantMany(t, x, 0, many/2)
	written()

	full.Store(true)
	grantMany(t, x, many/2, many)
	err := x.Revoke(repositoryAt(3))
	if refused := errors.Is(err, syscall.ENOSPC); refused != strings.HasPrefix("journal write", failing) && failing != "journal sync" {
		t.Errorf("Revoke: %v", err)
	}
	_ = x.SuspendLink(repositoryAt(1), Blob, dig("layer 1"))
	_ = x.ForgetDigest(dig("layer 9"))
	_ = x.Block(dig("blocked"))
	checkDenied(t, x)
	if failing == "create" || failing == "" {
		must(t, os.Truncate(path, 100))
	}
	time.Sleep(copyPeriod + 10*time.Minute)
	checkDenied(t, x)
	want := granted(t, x, many)
	lines := logs.Len()

	full.Store(false)
	time.Sleep(2 * longestPause)
	synctest.Wait()
	copyFolder(t, folder, crashed)
	mustClose(t, x)
	if _, failed := events.counts(); failed == nil {
		t.Error("told of no failure")
	} else if lines > 4 {
		t.Errorf("%d failures, %d lines", len(failed), lines)
	}
	for _, folder := range []string{folder, crashed} {
		again := mustOpen(t, Options{Path: filepath.Join(folder, "index.db")})
		checkDenied(t, again)
		if got := granted(t, again, many); got != want {
			t.Errorf("%d links of %d are left", got, want)
		}
		mustClose(t, again)
	}
}

// TestTooMuchPending: a disk that takes nothing for long does not fill the memory.
func TestTooMuchPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		path := filepath.Join(t.TempDir(), "index.db")
		o := withDefaults(Options{Path: path, fault: func(string) error {
			if full.Load() {
				return syscall.ENOSPC
			}
			return nil
		}})
		x, err := open(o, limits{links: MaxLinks, tags: MaxTags, repositories: maxRepositories, pending: 100})
		must(t, err)
		written()
		full.Store(true)
		grantMany(t, x, 0, many)
		written()
		x.locked(func() {
			if !x.state.batch.overflow || len(x.state.batch.values) > 100 {
				t.Errorf("%d values are pending", len(x.state.batch.values))
			}
		})
		full.Store(false)
		time.Sleep(2 * longestPause)
		mustClose(t, x)
		x = mustOpen(t, Options{Path: path})
		if got := granted(t, x, many); got != many {
			t.Errorf("%d links of %d are left", got, many)
		}
		mustClose(t, x)
	})
}

// TestSmallDisk fills a real file system.
func TestSmallDisk(t *testing.T) {
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(folder, syscall.MNT_DETACH)) })
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(folder, "index.db")
		var events told
		x := mustOpen(t, Options{Path: path, Events: &events})
		grantMany(t, x, 0, many)
		written()
		ballast := filepath.Join(folder, "ballast")
		if err := os.WriteFile(ballast, make([]byte, 4<<20), 0o600); err == nil {
			t.Fatal("the disk is not full")
		}
		for i := many; i < 6*many; i += 50 { // more than the free pages hold
			grantMany(t, x, i, i+50)
			time.Sleep(time.Second)
		}
		_ = x.Block(dig("blocked"))
		synctest.Wait()
		if damaged, failed := events.counts(); damaged != 0 || !slices.Contains(failed, "batch") {
			t.Errorf("%d damages, failures %v", damaged, failed)
		}
		must(t, os.Remove(ballast))
		time.Sleep(2 * longestPause)
		synctest.Wait()
		mustClose(t, x)
		x = mustOpen(t, Options{Path: path})
		if !x.Blocked(dig("blocked")) || !linked(x, repositoryAt((6*many-1)%7), Blob, dig("layer %d", 6*many-1)) {
			t.Error("what came while the disk was full is lost")
		}
		mustClose(t, x)
	})
}

func TestNoFolder(t *testing.T) {
	if x, err := Open(Options{Path: filepath.Join(t.TempDir(), "missing", "index.db")}); err == nil {
		t.Error("opened", x.options.Path)
	}
}

// TestHeldBySomebody: a start does not hang on a file that another process has.
func TestHeldBySomebody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "index.db")
		x := mustOpen(t, Options{Path: path})
		put(t, x, app, Blob, dig("a"))
		var events told
		if _, err := Open(Options{Path: path, Events: &events}); err == nil {
			t.Error("opened twice")
		}
		mustClose(t, x)
		if damaged, _ := events.counts(); damaged != 0 {
			t.Error("a lock was taken for a damage")
		}
		x = mustOpen(t, Options{Path: path})
		if !linked(x, app, Blob, dig("a")) || !x.Clean() {
			t.Error("the attempt has changed something")
		}
		mustClose(t, x)
	})
}

// TestNewerFormat: a downgrade says what to do, and loses nothing.
func TestNewerFormat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	x := mustOpen(t, Options{Path: path})
	put(t, x, app, Blob, dig("a"))
	mustClose(t, x)
	setFormat := func(format byte) {
		db, err := bbolt.Open(path, 0o600, nil)
		must(t, err)
		must(t, db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte{byte(metaBucket)}).Put([]byte(formatKey), []byte{format})
		}))
		must(t, db.Close())
	}
	setFormat(version + 1)
	refused := func() {
		t.Helper()
		var newer *FormatError
		if _, err := Open(Options{Path: path}); !errors.As(err, &newer) || newer.Found != version+1 || newer.Known != version {
			t.Errorf("Open: %v", err)
		} else if !strings.Contains(err.Error(), "newer Breakwater") {
			t.Errorf("%q does not say what to do", err)
		}
	}
	refused()
	setFormat(version)
	overwrite(t, path+journalSuffix, int64(len(journalMagic)), []byte{journalVersion + 1})
	refused()
	overwrite(t, path+journalSuffix, int64(len(journalMagic)), []byte{journalVersion})
	x = mustOpen(t, Options{Path: path})
	if !linked(x, app, Blob, dig("a")) || !x.Clean() {
		t.Error("the refused start has changed something")
	}
	mustClose(t, x)
}

// TestGrantsWithinASecond, in a file that a crash would leave.
func TestGrantsWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder, crashed := t.TempDir(), t.TempDir()
		x := mustOpen(t, Options{Path: filepath.Join(folder, "index.db")})
		written()
		put(t, x, app, Blob, dig("a"))
		putTag(t, x, app, "v1", dig("a"))
		x.PutBlob(dig("a"), 1, time.Unix(1, 0), time.Unix(1, 0))
		time.Sleep(time.Second)
		synctest.Wait()
		copyFolder(t, folder, crashed)
		mustClose(t, x)
		x = mustOpen(t, Options{Path: filepath.Join(crashed, "index.db")})
		if _, ok := x.Tag(app, "v1"); !ok || !linked(x, app, Blob, dig("a")) || len(x.state.blobs) != 1 || x.Clean() {
			t.Error("it took longer than a second")
		}
		mustClose(t, x)
	})
}

// TestCopyEveryHour: and the journal ends where the copy does.
func TestCopyEveryHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "index.db")
		x := mustOpen(t, Options{Path: path})
		must(t, x.Block(dig("blocked")))
		for i := range 50 {
			must(t, x.Revoke(repositoryAt(i)))
		}
		before := sizeOf(t, path+journalSuffix)
		time.Sleep(copyPeriod - time.Second)
		if exists(path + copySuffix) {
			t.Error("a copy before the hour is over")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, err := checkFile(path + copySuffix); err != nil {
			t.Errorf("copy: %v", err)
		}
		if after := sizeOf(t, path+journalSuffix); after > before/10 {
			t.Errorf("the journal had %d bytes, has %d", before, after)
		}
		info, err := os.Stat(path + copySuffix)
		must(t, err)
		time.Sleep(copyPeriod)
		synctest.Wait()
		if again, err := os.Stat(path + copySuffix); err != nil || !os.SameFile(info, again) {
			t.Error("copied though nothing has changed")
		}
		mustClose(t, x)
	})
}

// TestLargeJournal begins anew before the hour is over.
func TestLargeJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "index.db")
		x := mustOpen(t, Options{Path: path})
		long := Repository{Origin: app.Origin, Name: strings.Repeat("n", longestName)}
		x.journal.large.Store(true) // as largeJournal bytes would
		for i := range 20 {
			must(t, x.SuspendTag(long, fmt.Sprint(i)))
		}
		written()
		if size := sizeOf(t, path+journalSuffix); size > int64(headerLength) {
			t.Errorf("the journal has %d bytes", size)
		}
		mustClose(t, x)
	})
}

// TestFullJournal: what is kept for a disk that takes nothing is bounded. Then only
// a journal that begins after all of it is one again.
func TestFullJournal(t *testing.T) {
	j := newJournal(filepath.Join(t.TempDir(), "journal"), func(string) error { return nil })
	must(t, j.begin(0, nil))
	const newest = 9
	for seq := range uint64(newest) {
		j.keep(entry{seq + 1, make([]byte, 4<<20)})
	}
	if j.bytes > largestJournal || j.write() == nil {
		t.Errorf("%d bytes are kept, and nothing is said", j.bytes)
	}
	if !j.large.Load() || j.begin(1, nil) == nil {
		t.Error("begins anew before what is lost")
	}
	must(t, j.begin(newest, []key{someKey(t, "blocked")}))
	j.keep(entry{newest + 1, denial{seq: newest + 1, operation: revoke, repository: app, epoch: 1}.encode()})
	must(t, j.write())
	h, err := readJournal(j.path)
	if err != nil || h.err != nil || h.base != newest || len(h.denials) != 2 || h.newest() != newest+1 {
		t.Errorf("%+v, %v", h, err)
	}
	must(t, j.file.Close())
}
