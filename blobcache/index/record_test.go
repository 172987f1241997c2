package index

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"unique"
)

func someKey(t testing.TB, text string) key {
	t.Helper()
	k, ok := keyOf(dig("%s", text))
	if !ok {
		t.Fatal("no key")
	}
	return k
}

func TestRecordsComeBackWhole(t *testing.T) {
	k, long := someKey(t, "a"), key("")
	long, _ = keyOf(dig512("a"))
	mediaType := unique.Make(strings.Repeat("t", longestMediaType))
	wantLink := link{size: -1, reported: math.MaxInt64, mediaType: mediaType, proven: math.MaxUint32, suspended: true}
	wantTag := tag{digest: long, next: k, mediaType: mediaType, size: math.MaxInt64, checked: -1, nextSince: 3, suspended: true}
	wantBlob := blob{long, 1, 2, 3}
	wantRepository := &repository{name: Repository{"o", strings.Repeat("n", longestName)}, epoch: math.MaxUint64, id: 7}

	open := func(r record) []byte {
		t.Helper()
		value, ok := r.bucket.unseal(r.key, r.value)
		if !ok {
			t.Fatal("the checksum is wrong")
		}
		return value
	}
	if got, ok := parseLink(open(linkRecord(1, Blob.of(k), wantLink))); !ok || got != wantLink {
		t.Errorf("link %+v, %t", got, ok)
	}
	if got, ok := parseTag(open(tagRecord(1, "v1", wantTag))); !ok || got != wantTag {
		t.Errorf("tag %+v, %t", got, ok)
	}
	if got, ok := parseBlob(long, open(blobRecord(wantBlob))); !ok || got != wantBlob {
		t.Errorf("blob %+v, %t", got, ok)
	}
	if name, epoch, ok := parseRepository(open(repositoryRecord(wantRepository))); !ok ||
		name != wantRepository.name || epoch != wantRepository.epoch {
		t.Errorf("repository %+v, %d, %t", name, epoch, ok)
	}
}

// TestChecksumIsOverAll: a bit that flips in bucket, key or value is noticed.
func TestChecksumIsOverAll(t *testing.T) {
	r := linkRecord(1, Blob.of(someKey(t, "a")), link{mediaType: unique.Make("m")})
	if _, ok := tagsBucket.unseal(r.key, r.value); ok {
		t.Error("another bucket's record is taken")
	}
	for i := range 8 * (len(r.key) + len(r.value)) {
		both := append([]byte(r.key), r.value...)
		both[i/8] ^= 1 << (i % 8)
		if _, ok := r.bucket.unseal(string(both[:len(r.key)]), both[len(r.key):]); ok {
			t.Fatalf("bit %d flipped, and nobody noticed", i)
		}
	}
}

// FuzzRecord: any bytes under any key are taken or not, and what is taken is
// written as it was read.
func FuzzRecord(f *testing.F) {
	k := someKey(f, "a")
	for _, r := range []record{
		linkRecord(1, Blob.of(k), link{mediaType: unique.Make("m")}),
		tagRecord(1, "v1", tag{digest: k, mediaType: unique.Make("m")}),
		blobRecord(blob{key: k}), blockRecord(k), appliedRecord(9),
		repositoryRecord(&repository{name: app, id: 1}),
	} {
		value, _ := r.bucket.unseal(r.key, r.value)
		f.Add(byte(r.bucket), r.key, value)
	}
	f.Fuzz(func(t *testing.T, in byte, name string, value []byte) {
		ld := loader{state: newState(limits{}), byID: make(map[uint32]*repository), void: make(map[uint32]struct{})}
		ld.takeRepository(numbered(1, ""), fields{}.uint64(0).text(app.Origin).text(app.Name))
		if !ld.take(bucket(in), name, value) || len(value) == 0 {
			return
		}
		want := bucket(in).seal(name, bytes.Clone(value))
		id, rest, _ := splitNumbered(name)
		var got record
		switch r := ld.byID[id]; {
		case bucket(in) == metaBucket:
			got = appliedRecord(ld.seq)
		case bucket(in) == repositoriesBucket:
			got = repositoryRecord(r)
		case bucket(in) == linksBucket && r != nil:
			got = linkRecord(id, linkKey(rest), r.links[linkKey(rest)])
		case bucket(in) == tagsBucket && r != nil:
			got = tagRecord(id, rest, r.tags[rest])
		case len(ld.blobs) == 1:
			got = blobRecord(ld.blobs[0])
		default:
			return // void, or a block
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("read %x, would write %x", want, got)
		}
	})
}

// FuzzJournal: any bytes are read up to where they make no sense.
func FuzzJournal(f *testing.F) {
	k := someKey(f, "a")
	f.Add(journalHeader(0))
	all := journalHeader(3)
	for i, d := range []denial{
		{operation: block, key: k}, {operation: revoke, repository: app, epoch: 2}, {operation: forget, repository: app},
		{operation: suspendLink, repository: app, kind: Blob, key: k}, {operation: suspendTag, repository: app, tag: "v1"},
		{operation: unblock, key: k}, {operation: forgetDigest, key: k},
	} {
		d.seq = 3 + uint64(i)
		all = append(all, d.encode()...)
		f.Add(bytes.Clone(all))
		f.Add(all[:len(all)-1])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := parseJournal(data)
		if err != nil || h.err != nil {
			return
		}
		again := journalHeader(h.base)
		s := newState(limits{repositories: 10})
		for _, d := range h.denials {
			again = append(again, d.encode()...)
		}
		if !bytes.Equal(again, data) {
			t.Errorf("read %x, would write %x", data, again)
		}
		s.replay(h, true, false)
		s.replay(h, false, true)
	})
}
