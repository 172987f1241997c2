package index

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

// both runs a test in memory only, and with a file that is closed and opened again
// where the test says so.
func both(t *testing.T, test func(t *testing.T, x *Index, again func(*Index) *Index)) {
	t.Run("memory", func(t *testing.T) {
		x := mustOpen(t, Options{})
		test(t, x, func(x *Index) *Index { return x })
		mustClose(t, x)
	})
	t.Run("file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "index.db")
		var events told
		x := mustOpen(t, Options{Path: path, Events: &events})
		test(t, x, func(x *Index) *Index {
			mustClose(t, x)
			x = mustOpen(t, Options{Path: path, Events: &events})
			if !x.Clean() {
				t.Error("not clean after Close")
			}
			t.Cleanup(func() { _ = x.Close() })
			return x
		})
		if damaged, failed := events.counts(); damaged != 0 || failed != nil {
			t.Errorf("told of %d damages, failures %v", damaged, failed)
		}
	})
}

func TestLinkIsOfOneRepositoryAndKind(t *testing.T) {
	both(t, func(t *testing.T, x *Index, again func(*Index) *Index) {
		d, long := dig("layer"), dig512("layer")
		want := Link{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Size: 4096, Reported: time.Unix(1700000000, 5)}
		if !x.PutLink(app, 0, Blob, d, want) || !x.PutLink(app, 0, Manifest, long, Link{Size: -1}) {
			t.Fatal("PutLink kept nothing")
		}
		for range 2 {
			if got, ok := x.Link(app, Blob, d); !ok || got != want {
				t.Errorf("Link = %v, %t; want %v", got, ok, want)
			}
			if got, ok := x.Link(app, Manifest, long); !ok || got.Size != -1 || !got.Reported.IsZero() {
				t.Errorf("Link = %v, %t", got, ok)
			}
			if _, ok := x.Link(app, Manifest, d); ok {
				t.Error("a blob was found as a manifest")
			}
			if _, ok := x.Link(other, Blob, d); ok {
				t.Error("another repository has the link")
			}
			if _, ok := x.Link(Repository{Origin: "http://harbor.example.com:443", Name: app.Name}, Blob, d); ok {
				t.Error("another origin has the link")
			}
			x = again(x)
		}
	})
}

func TestTagComesBackWhole(t *testing.T) {
	both(t, func(t *testing.T, x *Index, again func(*Index) *Index) {
		want := Tag{
			Digest: dig("m"), MediaType: "application/vnd.oci.image.index.v1+json", Size: 12,
			Checked: time.Unix(1700000000, 123), Next: dig("n"), NextSince: time.Unix(1700000001, 0),
		}
		if !x.PutTag(app, 0, "latest", want) {
			t.Fatal("PutTag kept nothing")
		}
		x = again(x)
		if got, ok := x.Tag(app, "latest"); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("Tag = %+v, %t\nwant %+v", got, ok, want)
		}
		if _, ok := x.Tag(other, "latest"); ok {
			t.Error("another repository has the tag")
		}
	})
}

func TestNextEpochKnowsNothing(t *testing.T) {
	both(t, func(t *testing.T, x *Index, again func(*Index) *Index) {
		put(t, x, app, Blob, dig("a"))
		putTag(t, x, app, "v1", dig("m"))
		put(t, x, other, Blob, dig("a"))
		before := x.Epoch(app)
		must(t, x.Revoke(app))
		for range 2 {
			if _, ok := x.Link(app, Blob, dig("a")); ok {
				t.Error("the link outlived its epoch")
			}
			if _, ok := x.Tag(app, "v1"); ok {
				t.Error("the tag outlived its epoch")
			}
			if x.PutLink(app, before, Blob, dig("a"), Link{}) || x.PutTag(app, before, "v1", Tag{Digest: dig("m")}) {
				t.Error("kept what was begun under the epoch before")
			}
			if !linked(x, other, Blob, dig("a")) {
				t.Error("another repository lost its link")
			}
			if x.Epoch(app) != before+1 {
				t.Errorf("epoch %d after %d", x.Epoch(app), before)
			}
			x = again(x)
		}
		put(t, x, app, Blob, dig("a"))
		x = again(x)
		if !linked(x, app, Blob, dig("a")) {
			t.Error("a link of the new epoch is lost")
		}
	})
}

func TestRevokedBeforeAnythingWasKnown(t *testing.T) {
	both(t, func(t *testing.T, x *Index, again func(*Index) *Index) {
		begun := x.Epoch(app)
		must(t, x.Revoke(app))
		if x.PutLink(app, begun, Blob, dig("a"), Link{}) {
			t.Error("a fill begun before the revocation made a link")
		}
		if x.Epoch(other) != begun {
			t.Error("another repository's epoch moved")
		}
	})
}

func TestSuspendedIsKnownUntilOneSuccess(t *testing.T) {
	both(t, func(t *testing.T, x *Index, again func(*Index) *Index) {
		put(t, x, app, Manifest, dig("m"))
		putTag(t, x, app, "v1", dig("m"))
		must(t, x.SuspendLink(app, Manifest, dig("m")))
		must(t, x.SuspendTag(app, "v1"))
		for range 2 {
			if l, ok := x.Link(app, Manifest, dig("m")); !ok || !l.Suspended || l.Size != 7 {
				t.Errorf("Link = %+v, %t", l, ok)
			}
			if tag, ok := x.Tag(app, "v1"); !ok || !tag.Suspended || tag.Digest != dig("m") {
				t.Errorf("Tag = %+v, %t", tag, ok)
			}
			x = again(x)
		}
		x.Report(app, Manifest, dig("m"), time.Unix(1, 0))
		if l, _ := x.Link(app, Manifest, dig("m")); !l.Suspended || !l.Reported.Equal(time.Unix(1, 0)) {
			t.Errorf("after a report: %+v", l)
		}
		put(t, x, app, Manifest, dig("m"))
		putTag(t, x, app, "v1", dig("m"))
		x = again(x)
		if l, _ := x.Link(app, Manifest, dig("m")); l.Suspended || !l.Reported.Equal(time.Unix(1, 0)) {
			t.Errorf("after a success: %+v", l)
		}
		if tag, _ := x.Tag(app, "v1"); tag.Suspended {
			t.Error("one success did not restore the tag")
		}
	})
}

func TestBlock(t *testing.T) {
	both(t, func(t *testing.T, x *Index, again func(*Index) *Index) {
		must(t, x.Block(dig("a")))
		must(t, x.Block(dig("b")))
		must(t, x.Unblock(dig("b")))
		must(t, x.Unblock(dig("never blocked")))
		for range 3 {
			if !x.Blocked(dig("a")) || x.Blocked(dig("b")) || x.Blocked("nonsense") {
				t.Error("wrong digests are blocked")
			}
			if got := x.Blocks(); !slices.Equal(got, []digest.Digest{dig("a")}) {
				t.Errorf("Blocks = %v", got)
			}
			x = again(x)
		}
		if err := x.Block("sha256:nonsense"); err == nil {
			t.Error("blocked what is no digest")
		}
	})
}

func TestForget(t *testing.T) {
	both(t, func(t *testing.T, x *Index, again func(*Index) *Index) {
		for _, r := range []Repository{app, other} {
			put(t, x, r, Blob, dig("a"))
			put(t, x, r, Manifest, dig("a"))
			put(t, x, r, Blob, dig("b"))
			putTag(t, x, r, "a", dig("a"))
			putTag(t, x, r, "b", dig("b"))
			x.PutTag(r, x.Epoch(r), "soon-a", Tag{Digest: dig("b"), Next: dig("a")})
		}
		if got := x.LinksOf(dig("a")); !slices.Equal(got, []Repository{app, other}) {
			t.Errorf("LinksOf = %v", got)
		}
		epoch := x.Epoch(app)
		must(t, x.Forget(app))
		must(t, x.ForgetDigest(dig("a")))
		x = again(x)
		if x.Epoch(app) != epoch {
			t.Error("Forget changed the epoch")
		}
		if links := maps.Collect(x.Links(app)); len(links) != 0 {
			t.Errorf("the forgotten repository has %v", links)
		}
		want := map[Target]Link{{Blob, dig("b")}: {MediaType: "application/octet-stream", Size: 7}}
		if got := maps.Collect(x.Links(other)); !reflect.DeepEqual(got, want) {
			t.Errorf("Links = %v", got)
		}
		if got := slices.Collect(maps.Keys(maps.Collect(x.Tags(other)))); !slices.Equal(got, []string{"b"}) {
			t.Errorf("Tags = %v", got)
		}
		if got, want := x.Stats(), (Stats{Links: 1, Tags: 1, Repositories: 2}); got != want {
			t.Errorf("Stats = %+v, want %+v", got, want)
		}
	})
}

func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		both2(t, func(x *Index, again func(*Index) *Index) {
			held := func(d digest.Digest) bool { return d == dig("held") }
			put(t, x, app, Blob, dig("held"))
			put(t, x, app, Blob, dig("gone"))
			putTag(t, x, app, "held", dig("held"))
			putTag(t, x, app, "gone", dig("gone"))
			put(t, x, other, Blob, dig("gone"))
			must(t, x.Revoke(other))
			put(t, x, other, Blob, dig("gone"))
			begun := x.Epoch(other)
			x.Sweep(held)
			if s := x.Stats(); s.Links != 3 || s.Tags != 2 {
				t.Errorf("swept what was proven just now: %+v", s)
			}
			time.Sleep(time.Hour + time.Second)
			put(t, x, app, Blob, dig("proven again"))
			x.Sweep(held)
			if x.PutLink(other, begun-1, Blob, dig("gone"), Link{}) {
				t.Error("a repository that was dropped takes what a revoked epoch began")
			}
			x = again(x)
			if got, want := x.Stats(), (Stats{Links: 2, Tags: 1, Repositories: 1}); got != want {
				t.Errorf("Stats = %+v, want %+v", got, want)
			}
			if !linked(x, app, Blob, dig("held")) || !linked(x, app, Blob, dig("proven again")) {
				t.Error("swept what is held or proven")
			}
		})
	})
}

// both2 is both without reopening through subtests, which a bubble does not allow.
func both2(t *testing.T, test func(x *Index, again func(*Index) *Index)) {
	x := mustOpen(t, Options{})
	test(x, func(x *Index) *Index { return x })
	mustClose(t, x)
	path := filepath.Join(t.TempDir(), "index.db")
	x = mustOpen(t, Options{Path: path})
	test(x, func(closing *Index) *Index {
		mustClose(t, closing)
		x = mustOpen(t, Options{Path: path})
		return x
	})
	mustClose(t, x)
}

func TestFactsOfBlobs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	x := mustOpen(t, Options{Path: path})
	modified, used := time.Unix(1700000000, 1), time.Unix(1700000000, 2)
	x.PutBlob(dig("a"), 10, modified, used)
	x.PutBlob(dig("b"), 20, modified, used)
	x.PutBlob(dig512("c"), 0, modified, time.Time{})
	x.DeleteBlob(dig("b"))
	mustClose(t, x)
	x = mustOpen(t, Options{Path: path})
	defer x.Close()
	type fact struct {
		size           int64
		modified, used time.Time
	}
	got := make(map[digest.Digest]fact)
	x.Blobs(func(d digest.Digest, size int64, modified, used time.Time) { got[d] = fact{size, modified, used} })
	want := map[digest.Digest]fact{dig("a"): {10, modified, used}, dig512("c"): {0, modified, time.Time{}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Blobs = %v\nwant %v", got, want)
	}
	x.Blobs(func(digest.Digest, int64, time.Time, time.Time) { t.Error("yielded twice") })
}

func TestWhatCannotBeKept(t *testing.T) {
	x := mustOpen(t, Options{})
	defer x.Close()
	long := string(make([]byte, 600))
	for name, kept := range map[string]bool{
		"no digest":        x.PutLink(app, 0, Blob, "latest", Link{}),
		"short digest":     x.PutLink(app, 0, Blob, dig("a")[:70], Link{}),
		"capital digest":   x.PutLink(app, 0, Blob, digest.Digest("sha256:"+string(make([]byte, 63))+"A"), Link{}),
		"other algorithm":  x.PutLink(app, 0, Blob, "md5:d41d8cd98f00b204e9800998ecf8427e", Link{}),
		"other kind":       x.PutLink(app, 0, 3, dig("a"), Link{}),
		"size":             x.PutLink(app, 0, Blob, dig("a"), Link{Size: -2}),
		"media type":       x.PutLink(app, 0, Blob, dig("a"), Link{MediaType: long}),
		"no name":          x.PutLink(Repository{Origin: app.Origin}, 0, Blob, dig("a"), Link{}),
		"long name":        x.PutLink(Repository{Origin: app.Origin, Name: long}, 0, Blob, dig("a"), Link{}),
		"tag without name": x.PutTag(app, 0, "", Tag{Digest: dig("a")}),
		"long tag":         x.PutTag(app, 0, long, Tag{Digest: dig("a")}),
		"tag of nothing":   x.PutTag(app, 0, "v1", Tag{}),
		"next of nothing":  x.PutTag(app, 0, "v1", Tag{Digest: dig("a"), Next: "v2"}),
	} {
		if kept {
			t.Errorf("%s: kept", name)
		}
	}
	if s := x.Stats(); s != (Stats{}) {
		t.Errorf("Stats = %+v", s)
	}
}

func TestLimits(t *testing.T) {
	x, err := open(withDefaults(Options{}), limits{links: 2, tags: 1, repositories: 2})
	must(t, err)
	defer x.Close()
	put(t, x, app, Blob, dig("a"))
	put(t, x, app, Blob, dig("b"))
	putTag(t, x, app, "v1", dig("a"))
	if x.PutLink(app, 0, Blob, dig("c"), Link{}) || x.PutTag(app, 0, "v2", Tag{Digest: dig("a")}) {
		t.Error("kept more than the limit")
	}
	put(t, x, app, Blob, dig("a")) // what is known may change
	must(t, x.Revoke(other))
	third := Repository{Origin: app.Origin, Name: "team-c/app"}
	if x.PutLink(third, x.Epoch(third), Blob, dig("a"), Link{}) {
		t.Error("kept one repository too many")
	}
	begun := x.Epoch(third)
	must(t, x.Revoke(third))
	must(t, x.Forget(app))
	x.Sweep(func(digest.Digest) bool { return false })
	if x.PutLink(third, begun, Blob, dig("a"), Link{}) {
		t.Error("a revocation for which there was no room did not hold")
	}
	if x.Stats().Discarded < 3 {
		t.Errorf("Stats = %+v", x.Stats())
	}
}

func TestAfterClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	x := mustOpen(t, Options{Path: path})
	put(t, x, app, Blob, dig("a"))
	mustClose(t, x)
	mustClose(t, x)
	if !linked(x, app, Blob, dig("a")) {
		t.Error("a closed index does not answer")
	}
	if x.PutLink(app, 0, Blob, dig("b"), Link{}) {
		t.Error("a closed index keeps")
	}
	if err := x.Revoke(app); !errors.Is(err, ErrClosed) {
		t.Errorf("Revoke = %v", err)
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
}
