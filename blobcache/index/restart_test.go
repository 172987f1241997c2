package index

import (
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// reopen closes and opens again.
func reopen(t *testing.T, x *Index) *Index {
	t.Helper()
	mustClose(t, x)
	x = mustOpen(t, x.options)
	t.Cleanup(func() { _ = x.Close() })
	return x
}

// TestGrantedRightAfterRevocation: what comes in the same batch as a revocation
// belongs to the new epoch.
func TestGrantedRightAfterRevocation(t *testing.T) {
	x := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "index.db")})
	put(t, x, app, Blob, dig("old"))
	must(t, x.Revoke(app))
	put(t, x, app, Blob, dig("new"))
	must(t, x.Forget(app))
	put(t, x, app, Blob, dig("newer"))
	x = reopen(t, x)
	if linked(x, app, Blob, dig("old")) || linked(x, app, Blob, dig("new")) || !linked(x, app, Blob, dig("newer")) {
		t.Error("the wrong links are there")
	}
}

// TestNothingVoidIsWritten: links of an epoch that ended before its batch are not.
func TestNothingVoidIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	x := mustOpen(t, Options{Path: path})
	grantMany(t, x, 0, 100)
	for i := range 7 {
		must(t, x.Revoke(repositoryAt(i)))
	}
	mustClose(t, x)
	if n := countRecords(t, path, linksBucket) + countRecords(t, path, tagsBucket); n != 0 {
		t.Errorf("%d void records in the file", n)
	}
}

// TestVoidIsRemoved: half of a batch, as a crash would leave it, is neither found
// nor kept, and its id is not given again.
func TestVoidIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	x := mustOpen(t, Options{Path: path})
	put(t, x, app, Blob, dig("a"))
	mustClose(t, x)
	k, _ := keyOf(dig("void"))
	edit(t, path, linkRecord(2, Blob.of(k), x.state.repositories[app].links[Blob.of(someKey(t, "a"))]))
	x = mustOpen(t, Options{Path: path})
	put(t, x, other, Blob, dig("b"))
	x = reopen(t, x)
	if s := x.Stats(); s.Links != 2 || linked(x, other, Blob, dig("void")) {
		t.Errorf("Stats = %+v", s)
	}
	mustClose(t, x)
	if n := countRecords(t, path, linksBucket); n != 2 {
		t.Errorf("%d links in the file", n)
	}
}

// TestIdsAreOfOneRepository, also of one that has nothing.
func TestIdsAreOfOneRepository(t *testing.T) {
	x := mustOpen(t, Options{Path: filepath.Join(t.TempDir(), "index.db")})
	must(t, x.Revoke(app))
	x = reopen(t, x)
	put(t, x, other, Blob, dig("b"))
	put(t, x, app, Blob, dig("a"))
	x = reopen(t, x)
	if linked(x, other, Blob, dig("a")) || linked(x, app, Blob, dig("b")) || x.Epoch(app) != 1 {
		t.Error("two repositories share what they have")
	}
}

// TestBadRecords are skipped; the rest is read, and no block is lost with them.
func TestBadRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	x := mustOpen(t, Options{Path: path})
	grantMany(t, x, 0, 50)
	must(t, x.Block(dig("blocked")))
	must(t, x.Block(dig("not any more")))
	must(t, x.Unblock(dig("not any more")))
	mustClose(t, x)
	edit(t, path, record{blocksBucket, string(someKey(t, "blocked")), []byte("bad!")})
	edit(t, path, record{linksBucket, numbered(x.state.repositories[repositoryAt(0)].id, string(Blob.of(someKey(t, "layer 0")))), []byte{}})
	var events told
	x = mustOpen(t, Options{Path: path, Events: &events})
	defer x.Close()
	if !x.Blocked(dig("blocked")) || x.Blocked(dig("not any more")) {
		t.Errorf("Blocks = %v", x.Blocks())
	}
	if got := granted(t, x, 50); got != 49 {
		t.Errorf("%d links of 49", got)
	}
	if damaged, _ := events.counts(); damaged != 1 {
		t.Errorf("%d damages", damaged)
	}
}

// TestMarkOfAnotherStop: a mark that does not fit the index proves nothing.
func TestMarkOfAnotherStop(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index.db")
	x := mustOpen(t, Options{Path: path})
	must(t, x.Revoke(app))
	mustClose(t, x)
	must(t, writeMark(path, 7))
	x = mustOpen(t, Options{Path: path})
	defer x.Close()
	if x.Clean() {
		t.Error("clean")
	}
}

// edit writes one record as it is.
func edit(t *testing.T, path string, r record) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte{byte(r.bucket)}).Put([]byte(r.key), r.value)
	}))
	must(t, db.Close())
}

func countRecords(t *testing.T, path string, in bucket) (n int) {
	t.Helper()
	f, err := openFile(path, nil, bbolt.Options{ReadOnly: true})
	must(t, err)
	bad, err := f.scan(func(b bucket, _ string, _ []byte) bool {
		if b == in {
			n++
		}
		return true
	})
	must(t, err)
	if bad > 0 {
		t.Errorf("%d bad records", bad)
	}
	must(t, f.close())
	return n
}
