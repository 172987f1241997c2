package index

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"math"
	"unique"
)

// A record is one pair of the file. Its value ends with a checksum over bucket,
// key and value, because bbolt has none: a flipped bit in a key would move a
// permission to another repository.
type record struct {
	bucket bucket
	key    string
	value  []byte // nil: to be deleted
}

// compare orders records as the file's pages have them.
func (r record) compare(other record) int {
	return cmp.Or(cmp.Compare(r.bucket, other.bucket), cmp.Compare(r.key, other.key))
}

// A bucket is a kind of records; its one byte is its name in the file.
type bucket byte

const (
	metaBucket         bucket = 'm' // format, applied
	repositoriesBucket bucket = 'r' // id → epoch, name
	linksBucket        bucket = 'l' // id, kind, digest → link
	tagsBucket         bucket = 't' // id, tag → tag
	blocksBucket       bucket = 'k' // digest → nothing
	blobsBucket        bucket = 'b' // digest → facts
)

// Keys of metaBucket. format's value has no checksum: every version must read it.
const (
	formatKey  = "format"
	appliedKey = "applied"
)

// checksums is the Castagnoli table, for which processors have an instruction.
// It is never written to.
var checksums = crc32.MakeTable(crc32.Castagnoli)

func (b bucket) sum(key string, value []byte) uint32 {
	sum := crc32.Update(0, checksums, []byte{byte(b)})
	sum = crc32.Update(sum, checksums, []byte(key))
	return crc32.Update(sum, checksums, value)
}

func (b bucket) seal(key string, value []byte) record {
	return record{b, key, binary.BigEndian.AppendUint32(value, b.sum(key, value))}
}

// unseal returns the value without its checksum, false where that is wrong.
func (b bucket) unseal(key string, sealed []byte) ([]byte, bool) {
	if len(sealed) < 4 {
		return nil, false
	}
	value, sum := sealed[:len(sealed)-4], binary.BigEndian.Uint32(sealed[len(sealed)-4:])
	return value, sum == b.sum(key, value)
}

// numbered is the key of something that belongs to a repository.
func numbered(id uint32, rest string) string {
	return string(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(rest)), id)) + rest
}

// splitNumbered is the inverse of numbered.
func splitNumbered(key string) (id uint32, rest string, ok bool) {
	if len(key) < 4 {
		return 0, "", false
	}
	return binary.BigEndian.Uint32([]byte(key[:4])), key[4:], true
}

func repositoryRecord(r *repository) record {
	w := fields{}.uint64(uint64(r.epoch)).text(r.name.Origin).text(r.name.Name)
	return repositoriesBucket.seal(numbered(r.id, ""), w)
}

func parseRepository(value []byte) (name Repository, epoch Epoch, ok bool) {
	p := parser{rest: value}
	epoch = Epoch(p.uint64())
	name = Repository{Origin: p.text(), Name: p.text()}
	return name, epoch, p.done() && name.valid()
}

func linkRecord(id uint32, lk linkKey, l link) record {
	w := fields{}.bool(l.suspended).uint64(uint64(l.proven)).uint64(uint64(l.reported)).
		uint64(uint64(l.size)).text(l.mediaType.Value())
	return linksBucket.seal(numbered(id, string(lk)), w)
}

func parseLink(value []byte) (link, bool) {
	p := parser{rest: value}
	l := link{suspended: p.bool()}
	proven := p.uint64()
	l.proven, l.reported, l.size = uint32(proven), int64(p.uint64()), int64(p.uint64())
	mediaType := p.text()
	l.mediaType = unique.Make(mediaType)
	return l, p.done() && proven <= math.MaxUint32 && l.size >= -1 && len(mediaType) <= longestMediaType
}

func tagRecord(id uint32, name string, t tag) record {
	w := fields{}.bool(t.suspended).uint64(uint64(t.checked)).uint64(uint64(t.nextSince)).
		uint64(uint64(t.size)).text(string(t.digest)).text(string(t.next)).text(t.mediaType.Value())
	return tagsBucket.seal(numbered(id, name), w)
}

func parseTag(value []byte) (tag, bool) {
	p := parser{rest: value}
	t := tag{suspended: p.bool(), checked: int64(p.uint64()), nextSince: int64(p.uint64()), size: int64(p.uint64())}
	t.digest, t.next = key(p.text()), key(p.text())
	mediaType := p.text()
	t.mediaType = unique.Make(mediaType)
	return t, p.done() && t.size >= -1 && t.digest.valid() && (t.next == "" || t.next.valid()) &&
		len(mediaType) <= longestMediaType
}

func blockRecord(k key) record { return blocksBucket.seal(string(k), nil) }

func blobRecord(b blob) record {
	w := fields{}.uint64(uint64(b.size)).uint64(uint64(b.modified)).uint64(uint64(b.used))
	return blobsBucket.seal(string(b.key), w)
}

func parseBlob(k key, value []byte) (blob, bool) {
	p := parser{rest: value}
	b := blob{k, int64(p.uint64()), int64(p.uint64()), int64(p.uint64())}
	return b, p.done() && b.size >= 0 && k.valid()
}

func appliedRecord(seq uint64) record { return metaBucket.seal(appliedKey, fields{}.uint64(seq)) }

func parseApplied(value []byte) (uint64, bool) {
	p := parser{rest: value}
	seq := p.uint64()
	return seq, p.done()
}
