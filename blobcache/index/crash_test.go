package index

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// A workload grants and denies at random, and tells of every denial once it is
// acknowledged. A digest names the epoch that its link was made under, so that
// whoever reads the index later can tell a link that must not be there.
type workload struct {
	x      *Index
	random *rand.Rand
	ack    func(line string)
	round  int
}

func repositoryAt(i int) Repository {
	return Repository{Origin: "https://harbor.example.com:443", Name: fmt.Sprintf("team/%d", i)}
}

func linkedIn(repository int, e Epoch, n int) digest.Digest { return dig("%d/%d/%d", repository, e, n) }

const repositoriesAtWork, linksAtWork = 4, 6

func (w *workload) step() error {
	i, n := w.random.IntN(repositoriesAtWork), w.random.IntN(linksAtWork)
	r := repositoryAt(i)
	switch e := w.x.Epoch(r); w.random.IntN(12) {
	case 0:
		if err := w.x.Revoke(r); err != nil {
			return err
		}
		w.ack(fmt.Sprintf("revoked %d %d", i, e))
	case 1: // a digest that no later grant restores
		d := dig("suspended %d %d", w.round, w.random.Uint64())
		w.x.PutLink(r, e, Manifest, d, Link{})
		w.x.PutTag(r, e, string(d.Encoded()), Tag{Digest: d})
		time.Sleep(time.Duration(w.random.IntN(3)) * time.Millisecond)
		if err := w.x.SuspendLink(r, Manifest, d); err != nil {
			return err
		}
		if err := w.x.SuspendTag(r, d.Encoded()); err != nil {
			return err
		}
		w.ack(fmt.Sprintf("suspended %d %s", i, d))
	case 2:
		d := dig("blocked %d %d", w.round, w.random.Uint64())
		if err := w.x.Block(d); err != nil {
			return err
		}
		w.ack(fmt.Sprintf("blocked %s", d))
	default:
		w.x.PutLink(r, e, Blob, linkedIn(i, e, n), Link{Size: int64(n)})
		w.x.PutTag(r, e, fmt.Sprintf("t%d", n), Tag{Digest: linkedIn(i, e, n)})
		w.x.PutBlob(linkedIn(i, e, n), int64(n), time.Unix(1, 0), time.Unix(2, 0))
	}
	return nil
}

// denied holds an index against what was acknowledged.
func denied(t *testing.T, x *Index, acknowledged []string) {
	t.Helper()
	for _, line := range acknowledged {
		var i int
		var e Epoch
		var d digest.Digest
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "revoked":
			scan(t, rest, &i, &e)
			for n := range linksAtWork {
				if _, ok := x.Link(repositoryAt(i), Blob, linkedIn(i, e, n)); ok {
					t.Errorf("%s: link %d is back", line, n)
				}
				if tag, ok := x.Tag(repositoryAt(i), fmt.Sprintf("t%d", n)); ok && tag.Digest == linkedIn(i, e, n) {
					t.Errorf("%s: tag %d is back", line, n)
				}
			}
		case "suspended":
			scan(t, rest, &i, &d)
			if linked(x, repositoryAt(i), Manifest, d) {
				t.Errorf("%s: the link is served", line)
			}
			if tag, ok := x.Tag(repositoryAt(i), d.Encoded()); ok && !tag.Suspended {
				t.Errorf("%s: the tag is served", line)
			}
		case "blocked":
			if !x.Blocked(digest.Digest(rest)) {
				t.Errorf("%s: not any more", line)
			}
		default:
			t.Errorf("cannot read %q", line)
		}
	}
}

func scan(t *testing.T, text string, into ...any) {
	t.Helper()
	if _, err := fmt.Sscan(text, into...); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}

const killedFolder = "INDEX_TEST_KILLED_FOLDER"

// TestKilled is a child process that is killed while it works, again and again on
// the same folder. After each kill nothing that was denied is back.
func TestKilled(t *testing.T) {
	if folder := os.Getenv(killedFolder); folder != "" {
		workUntilKilled(t, folder)
		return
	}
	folder := t.TempDir()
	var acknowledged []string
	grants := 0
	for round := range 20 {
		acknowledged = append(acknowledged, killed(t, folder, round)...)
		var events told
		left := t.TempDir() // the next child is to find what this one left
		copyFolder(t, folder, left)
		x := mustOpen(t, Options{Path: filepath.Join(left, "index.db"), Events: &events})
		denied(t, x, acknowledged)
		grants += x.Stats().Links
		if damaged, _ := events.counts(); damaged > 0 || x.Clean() {
			t.Errorf("round %d: %d damages, clean %t", round, damaged, x.Clean())
		}
		mustClose(t, x)
		if t.Failed() {
			t.FailNow()
		}
	}
	if len(acknowledged) < 20 || grants == 0 {
		t.Errorf("%d denials, %d links: nothing was tested", len(acknowledged), grants)
	}
}

// killed runs the child for a while and returns what it acknowledged.
func killed(t *testing.T, folder string, round int) (lines []string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestKilled$", "-test.count=1")
	child.Env = append(os.Environ(), killedFolder+"="+folder, fmt.Sprintf("INDEX_TEST_ROUND=%d", round))
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	r := bufio.NewScanner(out)
	var kill *time.Timer
	for r.Scan() {
		if kill == nil { // it has begun
			kill = time.AfterFunc(time.Duration(5+rand.IntN(60))*time.Millisecond, func() { _ = child.Process.Kill() })
		}
		if line, ok := strings.CutPrefix(r.Text(), "ack "); ok && strings.HasSuffix(line, ".") {
			lines = append(lines, strings.TrimSuffix(line, "."))
		}
	}
	if err := child.Wait(); err == nil || child.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return lines
}

func workUntilKilled(t *testing.T, folder string) {
	x := mustOpen(t, Options{
		Path: filepath.Join(folder, "index.db"), batchDelay: time.Millisecond, copyPeriod: 15 * time.Millisecond,
	})
	var round int
	scan(t, os.Getenv("INDEX_TEST_ROUND"), &round)
	var workers sync.WaitGroup
	for range 3 {
		w := workload{x: x, random: rand.New(rand.NewPCG(rand.Uint64(), 0)), round: round, ack: func(line string) {
			_, _ = os.Stdout.WriteString("ack " + line + ".\n") // one write: whole or not at all
		}}
		workers.Go(func() {
			for {
				if err := w.step(); err != nil {
					panic(err)
				}
			}
		})
	}
	workers.Wait()
}

// TestCrashAtEveryStep copies the folder before each step on the disk, whoever
// makes it, and opens every copy.
func TestCrashAtEveryStep(t *testing.T) {
	folder, copies := t.TempDir(), t.TempDir()
	var mu sync.Mutex // guards all below
	var acknowledged []string
	var at []int // per copy, how much was acknowledged before
	steps := make(map[string]int)
	x := mustOpen(t, Options{
		Path: filepath.Join(folder, "index.db"), batchDelay: time.Millisecond, copyPeriod: 10 * time.Millisecond,
		fault: func(step string) error {
			mu.Lock()
			defer mu.Unlock()
			if steps[step]++; steps[step] > 40 {
				return nil
			}
			at = append(at, len(acknowledged))
			copyFolder(t, folder, filepath.Join(copies, fmt.Sprint(len(at)-1)))
			return nil
		},
	})
	w := workload{x: x, random: rand.New(rand.NewPCG(1, 2)), ack: func(line string) {
		mu.Lock()
		defer mu.Unlock()
		acknowledged = append(acknowledged, line)
	}}
	for range 600 {
		must(t, w.step())
	}
	mustClose(t, x)
	for _, step := range []string{"journal write", "journal sync", "journal replace", "batch", "copy", "create"} {
		if steps[step] == 0 {
			t.Errorf("no crash before %q", step)
		}
	}
	for i, n := range at {
		path := filepath.Join(copies, fmt.Sprint(i), "index.db")
		crashed := mustOpen(t, Options{Path: path})
		denied(t, crashed, acknowledged[:n])
		mustClose(t, crashed)

		// The same crash, and the index does not survive it.
		if _, err := os.Stat(path + copySuffix); err == nil && i%5 == 0 {
			must(t, os.Truncate(path, 5000))
			crashed = mustOpen(t, Options{Path: path})
			denied(t, crashed, acknowledged[:n])
			mustClose(t, crashed)
		}
	}
	if len(acknowledged) < 100 {
		t.Errorf("only %d denials", len(acknowledged))
	}
}
