package index

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// numberedDigest is cheaper than a hash.
func numberedDigest(i int) digest.Digest {
	var raw [32]byte
	binary.BigEndian.PutUint64(raw[:], uint64(i)*0x9E3779B97F4A7C15)
	binary.BigEndian.PutUint64(raw[24:], uint64(i))
	return digest.Digest(fmt.Sprintf("sha256:%x", raw))
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkHeapPerLink measures a million links in a thousand repositories.
func BenchmarkHeapPerLink(b *testing.B) {
	const links = 1_000_000
	for b.Loop() {
		before := heap()
		x := mustOpen(b, Options{})
		for i := range links {
			r := Repository{Origin: app.Origin, Name: fmt.Sprintf("team/%d", i%1000)}
			x.PutLink(r, 0, Blob, numberedDigest(i), Link{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Size: 1 << 20})
		}
		b.ReportMetric(float64(heap()-before)/links, "heap-bytes/link")
		mustClose(b, x)
	}
}

// BenchmarkOpen100k measures a start with the facts of 100,000 blobs, 120,000
// links and 10,000 tags.
func BenchmarkOpen100k(b *testing.B) {
	path := filepath.Join(b.TempDir(), "index.db")
	x := mustOpen(b, Options{Path: path})
	for i := range 120_000 {
		r := Repository{Origin: app.Origin, Name: fmt.Sprintf("team/%d", i%300)}
		d := numberedDigest(i % 100_000)
		x.PutLink(r, 0, Blob, d, Link{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Size: 1 << 20})
		if i < 100_000 {
			x.PutBlob(d, 1<<20, time.Unix(1, 0), time.Unix(2, 0))
		}
		if i < 10_000 {
			x.PutTag(r, 0, fmt.Sprintf("v%d", i), Tag{Digest: d, Checked: time.Unix(3, 0)})
		}
	}
	mustClose(b, x)
	for b.Loop() {
		x := mustOpen(b, Options{Path: path})
		b.StopTimer()
		if s := x.Stats(); s.Links != 120_000 || s.Tags != 10_000 || len(x.state.blobs) != 100_000 {
			b.Fatalf("%+v", s)
		}
		mustClose(b, x)
		b.StartTimer()
	}
}

// BenchmarkLink is what a hit costs.
func BenchmarkLink(b *testing.B) {
	x := mustOpen(b, Options{})
	put(b, x, app, Blob, dig("a"))
	d := dig("a")
	b.ReportAllocs()
	for b.Loop() {
		x.Link(app, Blob, d)
	}
}
