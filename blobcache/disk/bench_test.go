package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// BenchmarkHeapPerBlob measures what a million blobs take in memory; at most 300 bytes
// each are allowed.
func BenchmarkHeapPerBlob(b *testing.B) {
	const blobs = 1_000_000
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for range b.N {
		before := heap()
		l := newLedger(4096, 1<<50)
		for i := range uint64(blobs) {
			l.add(numbered(i), &entry{size: int64(i), modified: 1, used: int64(i)})
		}
		per := float64(heap()-before) / blobs
		b.ReportMetric(per, "heap-bytes/blob")
		if per > 300 {
			b.Errorf("%.0f bytes of heap per blob", per)
		}
		runtime.KeepAlive(l)
	}
}

func numbered(i uint64) key {
	var text [8]byte
	binary.BigEndian.PutUint64(text[:], i)
	raw := sha256.Sum256(text[:])
	return key(raw[:])
}

// BenchmarkOpen100k measures a start on 100,000 files that are all remembered.
func BenchmarkOpen100k(b *testing.B) {
	const blobs = 100_000
	dir, r := memoryDir(b), newRecords()
	must(b, os.MkdirAll(filepath.Join(dir, blobsFolder), 0o700))
	for i := range uint64(blobs) {
		k := numbered(i)
		path := filepath.Join(dir, k.path())
		must(b, os.MkdirAll(filepath.Dir(path), 0o700))
		must(b, os.WriteFile(path, []byte("small"), 0o600))
		info, err := os.Stat(path)
		must(b, err)
		r.blobs[k.digest()] = fact{5, info.ModTime(), time.Unix(int64(i), 0)}
	}
	lock, err := Take(b.Context(), dir, 0, nil)
	must(b, err)
	defer func() { must(b, lock.Close()) }()
	for b.Loop() {
		s, err := Open(lock, Options{Dir: dir, MaxSize: 1 << 40, Records: r})
		must(b, err)
		if got := s.Stats().Objects; got != blobs {
			b.Fatalf("%d blobs found", got)
		}
		must(b, s.Close())
	}
}

// BenchmarkHit measures an Open and a Close of a blob that is present.
func BenchmarkHit(b *testing.B) {
	w := newWorld(b, nil)
	d := w.put(content(1, 10_000))
	var absent digest.Digest = sum([]byte("absent"))
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			blob, err := w.Store.Open(b.Context(), d)
			if err != nil {
				b.Error(err)
				return
			}
			if err := blob.Close(); err != nil {
				b.Error(err)
			}
			w.Has(absent)
		}
	})
}
