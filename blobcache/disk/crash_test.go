package disk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// victimDir tells the test binary that it is the process to be killed.
const victimDir = "DISK_TEST_VICTIM_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		if err := fillForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

const (
	victimBlobs = 60
	victimSize  = 3*4096 + 100
	victimRoom  = 30 * 4 * 4096
)

// fillForEver fills blobs until it is killed, and prints each one that is present.
func fillForEver(dir string) error {
	r := newRecords()
	r.clean = false
	lock, err := Take(context.Background(), dir, 5*time.Second, nil)
	if err != nil {
		return err
	}
	s, err := Open(lock, Options{Dir: dir, MaxSize: victimRoom, Records: r})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for n := worker; ; n++ {
				b := content(uint64(n%victimBlobs), victimSize)
				err := put(s, sum(b), b, int64(len(b)))
				if err == nil {
					fmt.Println(sum(b))
				} else if tolerate(err) != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
			}
		})
	}
	all.Wait()
	return nil
}

// A process is killed in the middle of its fills, many times over. Whatever it left
// behind: no wrong byte is served, no byte stays that is not counted, the budget holds.
func TestKilledWhileFilling(t *testing.T) {
	dir := memoryDir(t)
	committed := 0
	for round := range 15 {
		committed += killRound(t, dir, time.Duration(round)*7*time.Millisecond)
		w := openWorld(t, dir, &records{blobs: map[digest.Digest]fact{}}, budget(victimRoom))
		if st, disk := w.Stats(), onDisk(t, dir); st.Bytes != disk || disk > victimRoom {
			t.Fatalf("round %d: %d bytes counted, %d on disk", round, st.Bytes, disk)
		}
		left, err := os.ReadDir(filepath.Join(dir, "partial"))
		if err != nil || len(left) != 0 {
			t.Fatalf("round %d: partials %v, %v", round, left, err)
		}
		for i := range uint64(victimBlobs) {
			if b := content(i, victimSize); has(w, b) {
				w.wantHeld(sum(b), b)
			}
		}
		if len(w.events.damaged) != 0 {
			t.Fatalf("round %d: damaged %v", round, w.events.damaged)
		}
		w.stop()
	}
	if committed == 0 {
		t.Error("nothing was ever committed: the test shows nothing")
	}
}

func has(w *world, b []byte) bool {
	_, ok := w.Has(sum(b))
	return ok
}

// killRound runs the victim for a while and kills it; it returns how many blobs were
// committed.
func killRound(t *testing.T, dir string, after time.Duration) (committed int) {
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), victimDir+"="+dir)
	victim.Stderr = os.Stderr
	out, err := victim.StdoutPipe()
	must(t, err)
	must(t, victim.Start())
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Fatalf("the victim said %q", lines.Text())
	}
	kill := time.AfterFunc(after, func() { _ = victim.Process.Kill() })
	defer kill.Stop()
	for lines.Scan() {
		committed++
	}
	if err := victim.Wait(); !strings.Contains(fmt.Sprint(err), "killed") {
		t.Fatalf("the victim ended: %v", err)
	}
	return committed
}

// A copy of the folder, taken in the middle of everything, is a folder that starts.
func TestCopyOfALivingFolder(t *testing.T) {
	w := newWorld(t, nil)
	b, open := content(1, 50_000), content(2, 50_000)
	d := w.put(b)
	p, err := w.Create(sum(open), int64(len(open)))
	must(t, err)
	defer func() { must(t, p.Close()) }()
	_, err = p.WriteAt(open[10_000:20_000], 10_000)
	must(t, err)
	dir := filepath.Join(memoryDir(t), "copy")
	must(t, os.CopyFS(dir, os.DirFS(w.dir)))

	again := openWorld(t, dir, &records{blobs: w.records.blobs}, nil)
	again.wantHeld(d, b)
	if st, disk := again.Stats(), onDisk(t, dir); st.Objects != 1 || st.Bytes != disk {
		t.Errorf("%+v, %d on disk", st, disk)
	}
	again.put(open)
	again.wantHeld(sum(open), open)
}

// Two processes on one folder: the second says why it waits, then who has it; when
// the first is killed the folder is free.
func TestTwoProcesses(t *testing.T) {
	dir := memoryDir(t)
	victim := exec.Command(os.Args[0])
	victim.Env = append(os.Environ(), victimDir+"="+dir)
	out, err := victim.StdoutPipe()
	must(t, err)
	must(t, victim.Start())
	ready := make([]byte, 6)
	_, err = io.ReadFull(out, ready)
	must(t, err)
	go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the victim

	_, err = Take(t.Context(), dir, 0, nil)
	var locked *LockedError
	host, _ := os.Hostname()
	if !errors.As(err, &locked) || locked.PID != victim.Process.Pid || locked.Host != host || time.Since(locked.Since) > time.Hour {
		t.Errorf("Take: %v", err)
	}
	must(t, victim.Process.Kill())
	_ = victim.Wait() // killed
	lock, err := Take(t.Context(), dir, 0, nil)
	must(t, err)
	must(t, lock.Close())
}
