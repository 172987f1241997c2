package index

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// A FormatError is a file of a newer Breakwater, which is left alone: its content
// would be lost.
type FormatError struct{ Found, Known int }

func (e *FormatError) Error() string {
	return fmt.Sprintf("the index has format %d, this Breakwater knows up to %d: start the newer Breakwater again, "+
		"or remove the index and the files beside it whose names begin like its own", e.Found, e.Known)
}

// Is reports the kind of error, whatever the numbers.
func (e *FormatError) Is(target error) bool { _, ok := target.(*FormatError); return ok }

// scan reads every record in the order of the buckets below, and hands over those
// whose checksum is right. It returns the number of the others.
func (f *file) scan(yield func(b bucket, key string, value []byte) bool) (bad int, err error) {
	err = f.transact(false, func(tx *bbolt.Tx) error {
		if err := checkFormat(tx); err != nil {
			return err
		}
		for _, in := range []bucket{metaBucket, repositoriesBucket, linksBucket, tagsBucket, blocksBucket, blobsBucket} {
			b := tx.Bucket([]byte{byte(in)})
			if b == nil {
				return &damageError{fmt.Errorf("bucket %c is missing", in)}
			}
			err := b.ForEach(func(k, sealed []byte) error {
				name := string(k)
				if in == metaBucket && name == formatKey {
					return nil
				}
				if value, ok := in.unseal(name, sealed); !ok || !yield(in, name, value) {
					bad++
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return bad, err
}

// checkFormat refuses what a newer Breakwater wrote.
func checkFormat(tx *bbolt.Tx) error {
	var format []byte
	if b := tx.Bucket([]byte{byte(metaBucket)}); b != nil {
		format = b.Get([]byte(formatKey))
	}
	switch {
	case len(format) != 1 || format[0] == 0:
		return &damageError{errors.New("it has no format version")}
	case format[0] > version:
		return &FormatError{Found: int(format[0]), Known: version}
	default:
		return nil
	}
}

// A loader fills a state from records.
type loader struct {
	*state
	byID  map[uint32]*repository
	void  map[uint32]struct{}
	known bool // seq was there
}

// load reads a file into a new state. Bad records are skipped and counted; links
// and tags of an id that no repository has are void: an epoch that is over, or
// half of a batch. They are neither kept nor counted, but removed with the first
// batch.
func (f *file) load(l limits) (s *state, bad int, err error) {
	ld := loader{state: newState(l), byID: make(map[uint32]*repository), void: make(map[uint32]struct{})}
	bad, err = f.scan(ld.take)
	if err != nil {
		return nil, bad, err
	}
	if !ld.known {
		return nil, bad, &damageError{errors.New("it does not say which denials it contains")}
	}
	f.applied = ld.seq
	for id := range ld.void {
		ld.batch.void(id)
	}
	return ld.state, bad, nil
}

// take puts one record into the state; false: it makes no sense.
func (ld *loader) take(in bucket, name string, value []byte) bool {
	switch in {
	case metaBucket:
		if name == appliedKey {
			ld.seq, ld.known = parseApplied(value)
			return ld.known
		}
		return false
	case repositoriesBucket:
		return ld.takeRepository(name, value)
	case linksBucket, tagsBucket:
		return ld.takeGrant(in, name, value)
	case blocksBucket:
		if !key(name).valid() || len(value) > 0 {
			return false
		}
		ld.blocks[key(name)] = struct{}{}
		return true
	case blobsBucket:
		b, ok := parseBlob(key(name), value)
		if ok {
			ld.blobs = append(ld.blobs, b)
		}
		return ok
	default:
		return false
	}
}

func (ld *loader) takeRepository(key string, value []byte) bool {
	id, rest, ok := splitNumbered(key)
	if !ok || rest != "" || id == 0 {
		return false
	}
	ld.nextID = max(ld.nextID, id+1)
	name, epoch, ok := parseRepository(value)
	if !ok || ld.repositories[name] != nil {
		return false
	}
	r := &repository{name: name, epoch: epoch, id: id}
	ld.repositories[name], ld.byID[id] = r, r
	return true
}

func (ld *loader) takeGrant(in bucket, key string, value []byte) bool {
	id, rest, ok := splitNumbered(key)
	if !ok {
		return false
	}
	ld.nextID = max(ld.nextID, id+1)
	r := ld.byID[id]
	if r == nil {
		ld.void[id] = struct{}{}
		return true
	}
	if in == linksBucket {
		return ld.takeLink(r, linkKey(rest), value)
	}
	return ld.takeTag(r, rest, value)
}

func (ld *loader) takeLink(r *repository, lk linkKey, value []byte) bool {
	l, ok := parseLink(value)
	if !ok || !lk.valid() {
		return false
	}
	if r.links == nil {
		r.links = make(map[linkKey]link)
	}
	r.links[lk] = l
	ld.links++
	return true
}

func (ld *loader) takeTag(r *repository, name string, value []byte) bool {
	t, ok := parseTag(value)
	if !ok || !validTag(name) {
		return false
	}
	if r.tags == nil {
		r.tags = make(map[string]tag)
	}
	r.tags[name] = t
	ld.tags++
	return true
}
