package index

import "slices"

// A batch is what the file does not have yet: the newest value of each record,
// and ids whose records are void.
type batch struct {
	values   map[string][]byte // bucket and key → value, nil: deleted
	voided   []uint32
	applied  uint64 // the newest denial whose effect is in here, or was before
	limit    int    // of values
	overflow bool   // values were dropped: only a new file has everything again
	off      bool   // there is no file
}

func (b *batch) put(r record) {
	if b.off || b.overflow {
		return
	}
	if b.values == nil {
		b.values = make(map[string][]byte)
	}
	b.values[string([]byte{byte(r.bucket)})+r.key] = r.value
	if b.limit > 0 && len(b.values) > b.limit {
		b.values, b.voided, b.overflow = nil, nil, true
	}
}

func (b *batch) delete(in bucket, key string) { b.put(record{in, key, nil}) }

func (b *batch) void(id uint32) {
	if b.off || b.overflow {
		return
	}
	b.voided = append(b.voided, id)
	b.delete(repositoriesBucket, numbered(id, ""))
}

func (b *batch) empty() bool { return len(b.values) == 0 && len(b.voided) == 0 && !b.overflow }

// drain takes the batch, and leaves an empty one.
func (s *state) drain() batch {
	taken := s.batch
	taken.applied = s.seq
	s.batch = batch{limit: taken.limit, off: taken.off}
	return taken
}

// undo puts back a batch that could not be written, under what came since.
func (s *state) undo(failed batch) {
	newer := s.batch
	s.batch = failed
	if newer.overflow {
		s.batch.values, s.batch.voided, s.batch.overflow = nil, nil, true
		return
	}
	for name, value := range newer.values {
		s.batch.put(record{bucket(name[0]), name[1:], value})
	}
	if !s.batch.overflow {
		s.batch.voided = append(s.batch.voided, newer.voided...)
	}
}

// records are sorted. Links and tags of an id that is void by now are left out.
func (b *batch) records() []record {
	void := make(map[uint32]bool, len(b.voided))
	for _, id := range b.voided {
		void[id] = true
	}
	records := make([]record, 0, len(b.values))
	for name, value := range b.values {
		r := record{bucket(name[0]), name[1:], value}
		if id, _, _ := splitNumbered(r.key); void[id] && (r.bucket == linksBucket || r.bucket == tagsBucket) {
			continue
		}
		records = append(records, r)
	}
	slices.SortFunc(records, record.compare)
	return records
}

// blobs are the records that memory does not hold.
func (b *batch) blobs() []record {
	return slices.DeleteFunc(b.records(), func(r record) bool { return r.bucket != blobsBucket || r.value == nil })
}
