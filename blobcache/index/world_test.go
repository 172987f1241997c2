package index

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

var (
	app   = Repository{Origin: "https://harbor.example.com:443", Name: "team-a/app"}
	other = Repository{Origin: "https://harbor.example.com:443", Name: "team-b/app"}
)

// dig is a digest that stands for a text.
func dig(format string, args ...any) digest.Digest {
	sum := sha256.Sum256(fmt.Appendf(nil, format, args...))
	return digest.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

func dig512(text string) digest.Digest {
	sum := sha512.Sum512([]byte(text))
	return digest.Digest("sha512:" + hex.EncodeToString(sum[:]))
}

// told are events, counted.
type told struct {
	mu      sync.Mutex
	damaged int
	failed  []string
}

func (t *told) IndexDamaged() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.damaged++
}

func (t *told) IndexFailed(operation string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = append(t.failed, operation)
}

func (t *told) counts() (damaged int, failed []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.damaged, slices.Clone(t.failed)
}

func mustOpen(t testing.TB, o Options) *Index {
	t.Helper()
	x, err := Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return x
}

func mustClose(t testing.TB, x *Index) {
	t.Helper()
	if err := x.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put keeps a plain link of the current epoch.
func put(t testing.TB, x *Index, r Repository, k Kind, d digest.Digest) {
	t.Helper()
	if !x.PutLink(r, x.Epoch(r), k, d, Link{MediaType: "application/octet-stream", Size: 7}) {
		t.Fatalf("PutLink(%s, %s) kept nothing", r.Name, d)
	}
}

func putTag(t testing.TB, x *Index, r Repository, name string, d digest.Digest) {
	t.Helper()
	if !x.PutTag(r, x.Epoch(r), name, Tag{Digest: d, Size: 7, Checked: time.Now()}) {
		t.Fatalf("PutTag(%s, %s) kept nothing", r.Name, name)
	}
}

// linked tells whether a link may be served.
func linked(x *Index, r Repository, k Kind, d digest.Digest) bool {
	l, ok := x.Link(r, k, d)
	return ok && !l.Suspended
}

// copyFolder copies what a crash would leave of an index, its file first.
func copyFolder(t testing.TB, from, to string) {
	t.Helper()
	must(t, os.MkdirAll(to, 0o700))
	entries, err := os.ReadDir(from)
	must(t, err)
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(from, e.Name()))
		if os.IsNotExist(err) {
			continue // renamed since
		}
		must(t, err)
		must(t, os.WriteFile(filepath.Join(to, e.Name()), data, 0o600))
	}
}

// written waits until all batches are in the file. Only in a bubble.
func written() {
	time.Sleep(2 * time.Second)
	synctest.Wait()
}
