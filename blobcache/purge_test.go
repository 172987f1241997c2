package blobcache_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"breakwater/blobcache"
	"breakwater/blobcache/index"

	"github.com/opencontainers/go-digest"
)

var (
	teamA = index.Repository{Origin: "https://harbor.test:443", Name: "team-a/app"}
	teamB = index.Repository{Origin: "https://harbor.test:443", Name: "team-b/app"}
)

// link notes that a repository has a blob.
func (w *world) link(repo index.Repository, d digest.Digest) {
	w.Helper()
	if !w.Index().PutLink(repo, w.Index().Epoch(repo), index.Blob, d, index.Link{Size: 1}) {
		w.Fatal("no link was made")
	}
}

// Purged and blocked content that is on its way comes to nobody, and to no disk.
func TestPurgeAndBlockWhileFilling(t *testing.T) {
	for name, end := range map[string]func(*world, digest.Digest) error{
		"purge": func(w *world, d digest.Digest) error { _, err := w.PurgeDigest(d); return err },
		"block": func(w *world, d digest.Digest) error { return w.Block(d) },
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t, t.TempDir())
			from := newRepository("a")
			d, other := from.push(1, mib), from.push(2, mib)
			hold := make(chan struct{})
			from.set(func() { from.hold = hold })
			blob, _, err := w.Join(t.Context(), d, from.source(d))
			if err != nil {
				t.Fatal(err)
			}
			beside, _, err := w.Join(t.Context(), other, from.source(other))
			if err != nil {
				t.Fatal(err)
			}
			section := blob.Section(t.Context(), 0, -1, true)
			if _, err := io.CopyN(io.Discard, section, 1000); err != nil {
				t.Fatal(err)
			}
			w.link(teamA, d)
			if err := end(w, d); err != nil {
				t.Fatal(err)
			}
			close(hold)
			if n, err := io.Copy(io.Discard, section); !errors.Is(err, context.Canceled) || n > mib-64*kib {
				t.Errorf("the reader got %d bytes more, %v", n, err)
			}
			if body, err := all(t.Context(), beside); err != nil || digest.FromBytes(body) != other {
				t.Errorf("another blob: %d bytes, %v", len(body), err)
			}
			if err := errors.Join(section.Close(), blob.Close(), beside.Close()); err != nil {
				t.Error(err)
			}
			w.settled(d)
			w.settled(other)
			if w.Held(d) || len(w.Index().LinksOf(d)) != 0 != (name == "block") || w.Index().Blocked(d) != (name == "block") {
				t.Errorf("held %t, links %v, blocked %t", w.Held(d), w.Index().LinksOf(d), w.Index().Blocked(d))
			}
			w.wantFiles(1) // that of the other blob
			if w.Unblock(d) != nil || w.fetched(from, d) != blobcache.Miss || !w.holds(d) {
				t.Error("it cannot be had again")
			}
		})
	}
}

// A purge of everything breaks nobody's pull, and keeps nothing of what was coming.
func TestPurgeAllWhileFilling(t *testing.T) {
	w := open(t, t.TempDir())
	from := newRepository("a")
	d := from.push(1, mib)
	hold := make(chan struct{})
	from.set(func() { from.hold = hold })
	blob := must(t, w, from, d)
	section := blob.Section(t.Context(), 0, -1, true)
	head := make([]byte, 1000)
	if _, err := io.ReadFull(section, head); err != nil {
		t.Fatal(err)
	}
	if _, err := w.PurgeAll(); err != nil {
		t.Fatal(err)
	}
	close(hold)
	rest, err := io.ReadAll(section)
	if err != nil || digest.FromBytes(append(head, rest...)) != d {
		t.Errorf("the reader got %d bytes more, %v", len(rest), err)
	}
	if err := errors.Join(section.Close(), blob.Close()); err != nil {
		t.Error(err)
	}
	w.settled(d)
	if w.wantFiles(0); w.Held(d) {
		t.Error("it is held")
	}
}

// Those who read a file read on; nobody else gets it, and its bytes are free when the
// last one has left.
func TestPurgeAndBlockWhileReading(t *testing.T) {
	for name, end := range map[string]func(*world, digest.Digest) error{
		"purge":            func(w *world, d digest.Digest) error { _, err := w.PurgeDigest(d); return err },
		"purge repository": func(w *world, _ digest.Digest) error { _, err := w.PurgeRepository(teamA.Name); return err },
		"purge all":        func(w *world, _ digest.Digest) error { _, err := w.PurgeAll(); return err },
		"block":            func(w *world, d digest.Digest) error { return w.Block(d) },
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t, t.TempDir())
			from := newRepository("a")
			d := from.push(1, mib)
			w.link(teamA, d)
			w.fetched(from, d)
			blob, ok := w.Cache.Open(t.Context(), d)
			if !ok {
				t.Fatal("it is not held")
			}
			if err := end(w, d); err != nil {
				t.Fatal(err)
			}
			if _, ok := w.Cache.Open(t.Context(), d); ok || w.Held(d) {
				t.Error("others get it still")
			}
			if body, err := all(t.Context(), blob); err != nil || digest.FromBytes(body) != d {
				t.Errorf("who reads got %d bytes, %v", len(body), err)
			}
			if err := blob.Close(); err != nil {
				t.Error(err)
			}
			if got := w.Stats().Disk; got.Bytes != 0 || got.Objects != 0 {
				t.Errorf("%+v", got)
			}
			w.restart()
			if w.Held(d) || w.Index().Blocked(d) != (name == "block") {
				t.Errorf("after a restart: held %t, blocked %t", w.Held(d), w.Index().Blocked(d))
			}
		})
	}
}

// A transfer that is being made durable while its blob is purged is not kept either.
func TestPurgeAtTheLastMoment(t *testing.T) {
	w := open(t, t.TempDir())
	from := newRepository("a")
	for i := range 40 {
		d := from.push(i, 100*kib)
		if _, _, err := w.fetch(from, d); err != nil { // its last byte comes before it is durable
			t.Fatal(err)
		}
		if _, err := w.PurgeDigest(d); err != nil {
			t.Fatal(err)
		}
		w.settled(d)
		if w.Held(d) {
			t.Fatalf("number %d is held after it was purged", i)
		}
	}
	w.wantFiles(0)
}

// A repository that is purged loses its own; what another one has too stays.
func TestPurgeARepository(t *testing.T) {
	w := open(t, t.TempDir())
	from := newRepository("a")
	own, shared := from.push(1, 100*kib), from.push(2, 100*kib)
	for _, d := range []digest.Digest{own, shared} {
		w.fetched(from, d)
		w.link(teamA, d)
	}
	w.link(teamB, shared)
	if !w.Index().PutTag(teamA, w.Index().Epoch(teamA), "1.0", index.Tag{Digest: own, MediaType: "x", Checked: time.Now()}) {
		t.Fatal("no tag was made")
	}
	got, err := w.PurgeRepository(teamA.Name)
	if err != nil || got != (blobcache.Purged{Objects: 1, Bytes: 100 * kib, Links: 2}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, tagged := w.Index().Tag(teamA, "1.0"); w.Held(own) || !w.holds(shared) || tagged || len(w.Index().LinksOf(shared)) != 1 {
		t.Errorf("own held %t, shared held %t, tagged %t", w.Held(own), w.Held(shared), tagged)
	}
	if got, err := w.PurgeRepository("nobody/here"); err != nil || got != (blobcache.Purged{}) {
		t.Errorf("a repository that is not there: %+v, %v", got, err)
	}
}

// Nothing of a blocked digest is kept, by whatever way it comes.
func TestBlockedContentIsNotKept(t *testing.T) {
	w := open(t, t.TempDir())
	from := newRepository("a")
	d, blob := from.push(1, 2*kib), from.push(2, 100*kib)
	for _, d := range []digest.Digest{d, blob} {
		if err := w.Block(d); err != nil {
			t.Fatal(err)
		}
	}
	_, body := content(1, 2*kib)
	w.Keep(d, body)
	if body, _, err := w.fetch(from, blob); err == nil && digest.FromBytes(body) != blob {
		t.Errorf("%d wrong bytes", len(body))
	}
	w.settled(blob)
	if w.Held(d) || w.Held(blob) {
		t.Errorf("the document is held: %t, the blob: %t", w.Held(d), w.Held(blob))
	}
}

func must(t *testing.T, w *world, from *repository, d digest.Digest) blobcache.Content {
	t.Helper()
	blob, _, err := w.Join(t.Context(), d, from.source(d))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = blob.Close() })
	return blob
}
