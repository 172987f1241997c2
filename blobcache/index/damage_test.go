package index

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// A damage does something to a file that no writer of ours would do.
type damage struct {
	name string
	do   func(t *testing.T, path string)
	// certain: it cannot go unnoticed. Scribbling may hit what nobody reads.
	certain bool
}

func damages() []damage {
	all := []damage{
		{"truncated to nothing", truncate(0), true},
		{"truncated to half", truncateHalf, true},
		{"deleted", func(t *testing.T, path string) { must(t, os.Remove(path)) }, true},
		{"first pages zeroed", scribble(0, 8192, func(int) byte { return 0 }), true},
		{"another file", func(t *testing.T, path string) {
			must(t, os.WriteFile(path+".tmp", []byte(strings.Repeat("not an index ", 3000)), 0o600))
			must(t, os.Rename(path+".tmp", path))
		}, true},
	}
	for i := range 4 {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		all = append(all,
			damage{fmt.Sprintf("truncated to a random length %d", i), func(t *testing.T, path string) {
				truncate(random.Int64N(sizeOf(t, path)/2))(t, path)
			}, true},
			damage{fmt.Sprintf("scribbled over %d", i), func(t *testing.T, path string) {
				for range 1 + i*4 {
					at := random.Int64N(sizeOf(t, path))
					scribble(at, min(1+random.Int64N(64), sizeOf(t, path)-at), func(int) byte { return byte(random.Uint32()) })(t, path)
				}
			}, false},
			damage{fmt.Sprintf("every page scribbled on %d", i), func(t *testing.T, path string) {
				for at := int64(0); at < sizeOf(t, path); at += 4096 {
					scribble(at+random.Int64N(4000), 32, func(int) byte { return byte(random.Uint32()) })(t, path)
				}
			}, false},
			damage{fmt.Sprintf("pages swapped %d", i), func(t *testing.T, path string) {
				data, err := os.ReadFile(path)
				must(t, err)
				a, b := 2+random.IntN(len(data)/4096-2), 2+random.IntN(len(data)/4096-2)
				page := string(data[a*4096 : a*4096+4096])
				copy(data[a*4096:], data[b*4096:b*4096+4096])
				copy(data[b*4096:], page)
				overwrite(t, path, 0, data)
			}, false},
		)
	}
	return all
}

func truncate(size int64) func(*testing.T, string) {
	return func(t *testing.T, path string) { must(t, os.Truncate(path, size)) }
}

func truncateHalf(t *testing.T, path string) { must(t, os.Truncate(path, sizeOf(t, path)/2)) }

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Size()
}

func scribble(at, n int64, with func(int) byte) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		data := make([]byte, n)
		for i := range data {
			data[i] = with(i)
		}
		overwrite(t, path, at, data)
	}
}

func overwrite(t *testing.T, path string, at int64, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(data, at)
	must(t, err)
	must(t, f.Close())
}

// grantMany fills an index so that it has many pages.
func grantMany(t testing.TB, x *Index, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		put(t, x, repositoryAt(i%7), Blob, dig("layer %d", i))
		if i%5 == 0 {
			putTag(t, x, repositoryAt(i%7), fmt.Sprintf("v%d", i), dig("layer %d", i))
			x.PutBlob(dig("layer %d", i), int64(i), time.Unix(1, 0), time.Unix(2, 0))
		}
	}
}

// granted counts those of grantMany that are served, and fails on any other.
func granted(t *testing.T, x *Index, to int) (links int) {
	t.Helper()
	for i := range to {
		for r := range 7 {
			_, ok := x.Link(repositoryAt(r), Blob, dig("layer %d", i))
			switch {
			case ok && r != i%7:
				t.Fatalf("link %d was not granted to repository %d", i, r)
			case ok:
				links++
			}
		}
		if tag, ok := x.Tag(repositoryAt(i%7), fmt.Sprintf("v%d", i)); ok && tag.Digest != dig("layer %d", i) {
			t.Fatalf("tag %d names %s", i, tag.Digest)
		}
	}
	if s := x.Stats(); s.Links != links {
		t.Fatalf("%d links of %d are known to nobody", s.Links-links, s.Links)
	}
	return links
}

const many = 700

// denySome takes away some of what grantMany granted.
func denySome(t *testing.T, x *Index) {
	t.Helper()
	must(t, x.Block(dig("blocked")))
	must(t, x.SuspendLink(repositoryAt(1), Blob, dig("layer 1")))
	must(t, x.ForgetDigest(dig("layer 9")))
	must(t, x.Revoke(repositoryAt(3)))
}

func checkDenied(t *testing.T, x *Index) {
	t.Helper()
	if !x.Blocked(dig("blocked")) {
		t.Error("the block is gone")
	}
	if linked(x, repositoryAt(1), Blob, dig("layer 1")) {
		t.Error("a suspended link is served")
	}
	if linked(x, repositoryAt(2), Blob, dig("layer 9")) {
		t.Error("a forgotten link is served")
	}
	for i := 3; i < many; i += 7 {
		if linked(x, repositoryAt(3), Blob, dig("layer %d", i)) {
			t.Fatal("a revoked link is served")
		}
	}
}

// TestDamagedAtRest damages the index of a process that stopped, in order or not,
// with or without an hourly copy that is older than what was denied.
func TestDamagedAtRest(t *testing.T) {
	for _, copied := range []bool{false, true} {
		for _, clean := range []bool{false, true} {
			origin := t.TempDir()
			leave(t, origin, copied, clean)
			for _, d := range damages() {
				t.Run(fmt.Sprintf("copy %t/clean %t/%s", copied, clean, d.name), func(t *testing.T) {
					folder := t.TempDir()
					copyFolder(t, origin, folder)
					path := filepath.Join(folder, "index.db")
					d.do(t, path)
					openDamaged(t, path, d, copied)
				})
			}
		}
	}
}

// leave makes the files of a stopped process: grants, a copy, more grants, denials.
func leave(t *testing.T, folder string, copied, clean bool) {
	synctest.Test(t, func(t *testing.T) {
		working := t.TempDir()
		x := mustOpen(t, Options{Path: filepath.Join(working, "index.db")})
		grantMany(t, x, 0, many/2)
		if copied {
			time.Sleep(copyPeriod + time.Second)
			synctest.Wait()
		}
		grantMany(t, x, many/2, many)
		must(t, x.Block(dig("blocked"))) // the index and the journal both have it
		written()
		denySome(t, x)
		if clean {
			mustClose(t, x)
		}
		copyFolder(t, working, folder)
		_ = x.Close()
	})
}

func openDamaged(t *testing.T, path string, d damage, copied bool) {
	var events told
	core, logs := observer.New(zap.InfoLevel)
	x := mustOpen(t, Options{Path: path, Events: &events, Log: zap.New(core)})
	checkDenied(t, x)
	links := granted(t, x, many)
	damaged, failed := events.counts()
	if d.certain && (damaged == 0 || x.Clean()) {
		t.Errorf("%d damages noticed, clean %t", damaged, x.Clean())
	}
	if damaged > 1 || logs.Len() != damaged || failed != nil {
		t.Errorf("%d damages, failures %v, lines %v", damaged, failed, logs.All())
	}
	if d.certain && copied && links < many/2*6/7-2 {
		t.Errorf("only %d links are left, though there was a copy", links)
	}
	grantMany(t, x, 0, 10) // and it works
	mustClose(t, x)
	again := mustOpen(t, Options{Path: path, Events: &events})
	if got := granted(t, again, many); got < links {
		t.Errorf("%d links, %d after another start", links, got)
	}
	if after, _ := events.counts(); after != damaged || !again.Clean() {
		t.Errorf("%d more damages, clean %t", after-damaged, again.Clean())
	}
	mustClose(t, again)
}

// tick gives a file the time that it would have a tick of the file system's clock
// later; in a bubble none may have passed.
func tick(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if os.IsNotExist(err) {
		return
	}
	must(t, err)
	must(t, os.Chtimes(path, time.Time{}, info.ModTime().Add(10*time.Millisecond)))
}

// TestDamagedWhileRunning: nobody notices but the operator.
func TestDamagedWhileRunning(t *testing.T) {
	for _, d := range damages() {
		t.Run(d.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "index.db")
				var events told
				core, logs := observer.New(zap.InfoLevel)
				x := mustOpen(t, Options{Path: path, Events: &events, Log: zap.New(core)})
				grantMany(t, x, 0, many-10)
				written()
				d.do(t, path)
				tick(t, path)
				grantMany(t, x, many-10, many)
				denySome(t, x)
				want := granted(t, x, many)
				written()
				if damaged, failed := events.counts(); damaged != 1 || failed != nil || logs.Len() != 1 {
					t.Errorf("%d damages, failures %v, lines %v", damaged, failed, logs.All())
				}
				crashed := t.TempDir()
				copyFolder(t, filepath.Dir(path), crashed)
				mustClose(t, x)
				for _, path := range []string{path, filepath.Join(crashed, "index.db")} {
					again := mustOpen(t, Options{Path: path, Events: &events})
					checkDenied(t, again)
					if got := granted(t, again, many); got != want {
						t.Errorf("%d links of %d are left", got, want)
					}
					mustClose(t, again)
				}
				if damaged, _ := events.counts(); damaged != 1 {
					t.Errorf("%d damages", damaged)
				}
			})
		})
	}
}

// TestFaultInTransaction: the file is cut in the moment between the look at it and
// the transaction, where only the guard helps.
func TestFaultInTransaction(t *testing.T) {
	for _, size := range []int64{0, 4096, 8192, 16384} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "index.db")
			x := mustOpen(t, Options{Path: path})
			grantMany(t, x, 0, many)
			mustClose(t, x)
			f, err := openFile(path, func(string) error { return nil }, bbolt.Options{})
			must(t, err)
			must(t, os.Truncate(path, size))
			f.seen, err = traceOf(f.handle)
			must(t, err)
			_, err = f.scan(func(bucket, string, []byte) bool { return true })
			if !damaged(err) {
				t.Errorf("scan: %v", err)
			}
			must(t, f.close()) // returns
		})
	}
}

func TestDamagedFilesAreNotKeptForEver(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "index.db")
	for range 6 {
		x := mustOpen(t, Options{Path: path})
		put(t, x, app, Blob, dig("a"))
		mustClose(t, x)
		truncate(100)(t, path)
	}
	aside, err := filepath.Glob(path + ".damaged-*")
	must(t, err)
	if len(aside) != mostDamaged {
		t.Errorf("kept %v", aside)
	}
}

// TestJournalDamaged: what was denied since the last batch cannot be known, unless
// the stop was clean.
func TestJournalDamaged(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, path string){
		"deleted":          func(t *testing.T, path string) { must(t, os.Remove(path)) },
		"emptied":          truncate(0),
		"cut in the last":  func(t *testing.T, path string) { truncate(sizeOf(t, path)-3)(t, path) },
		"header scribbled": scribble(22, 1, func(int) byte { return 0xFF }),
		"entry scribbled":  scribble(60, 1, func(int) byte { return 0xFF }),
	} {
		for _, clean := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/clean %t", name, clean), func(t *testing.T) {
				folder := t.TempDir()
				leave(t, folder, false, clean)
				path := filepath.Join(folder, "index.db")
				do(t, path+journalSuffix)
				var events told
				x := mustOpen(t, Options{Path: path, Events: &events})
				checkDenied(t, x)
				if links := granted(t, x, many); (links > 0) != clean {
					t.Errorf("%d links are left", links)
				}
				if damaged, _ := events.counts(); damaged != 1 {
					t.Errorf("%d damages", damaged)
				}
				put(t, x, app, Blob, dig("later"))
				mustClose(t, x)
				x = mustOpen(t, Options{Path: path, Events: &events})
				if damaged, _ := events.counts(); damaged != 1 || !linked(x, app, Blob, dig("later")) {
					t.Error("it does not go on")
				}
				mustClose(t, x)
			})
		}
	}
}

func TestJournalDamagedWhileRunning(t *testing.T) {
	for name, do := range map[string]func(t *testing.T, path string){
		"deleted":   func(t *testing.T, path string) { must(t, os.Remove(path)) },
		"emptied":   truncate(0),
		"scribbled": scribble(30, 20, func(int) byte { return 0xFF }),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				folder, crashed := t.TempDir(), t.TempDir()
				path := filepath.Join(folder, "index.db")
				x := mustOpen(t, Options{Path: path})
				grantMany(t, x, 0, many)
				written()
				denySome(t, x)
				do(t, path+journalSuffix)
				tick(t, path+journalSuffix)
				must(t, x.Revoke(repositoryAt(4)))
				copyFolder(t, folder, crashed)
				mustClose(t, x)
				x = mustOpen(t, Options{Path: filepath.Join(crashed, "index.db")})
				checkDenied(t, x)
				if linked(x, repositoryAt(4), Blob, dig("layer 4")) {
					t.Error("a revoked link is served")
				}
				if got := granted(t, x, many); got < many/2 {
					t.Errorf("%d links are left", got)
				}
				mustClose(t, x)
			})
		})
	}
}
