package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const (
	// version is that of the file's format.
	version = 1
	// lockWait bounds the wait for bbolt's lock of the file. The folder has a lock
	// of its own; here only somebody's tool could be in the way.
	lockWait = 2 * time.Second
	// mostRecords are written in one transaction, whose pages are all in memory.
	mostRecords = 20_000
)

// A file is an open index. One goroutine at a time uses it.
type file struct {
	path    string
	fault   func(step string) error
	db      *bbolt.DB
	handle  *os.File // that of db
	seen    trace    // the file as our last transaction left it
	applied uint64   // the newest denial that it contains
	// stuck tells that bbolt was left by a panic while it held its locks: nothing
	// but the handle can be closed any more, and the mapping stays.
	stuck bool
}

// openFile opens an index, or makes an empty one. An existing one must be sound.
func openFile(path string, fault func(string) error, o bbolt.Options) (*file, error) {
	f := &file{path: path, fault: fault}
	o.Timeout, o.NoStatistics, o.FreelistType = lockWait, true, bbolt.FreelistMapType
	o.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		var err error
		f.handle, err = os.OpenFile(name, flag, mode)
		return f.handle, err
	}
	err := guarded(func() (err error) {
		f.db, err = bbolt.Open(path, 0o600, &o)
		return err
	})
	if err == nil {
		f.seen, err = traceOf(f.handle)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), f.close())
	}
	return f, nil
}

func (f *file) close() error {
	switch {
	case f.db == nil || f.stuck:
		if f.handle != nil {
			_ = f.handle.Close() // bbolt may have done so
		}
		return nil
	default:
		return f.db.Close()
	}
}

// transact runs one transaction in the guard: committed where writable and nothing
// failed. A file that is not as it was left is damaged.
func (f *file) transact(writable bool, do func(*bbolt.Tx) error) error {
	if err := f.seen.untouched(f.path); err != nil {
		return &damageError{err}
	}
	err := guarded(func() error {
		f.stuck = true
		tx, err := f.db.Begin(writable)
		if err != nil {
			f.stuck = false
			return err
		}
		defer func() {
			// After a commit, or one that failed, there is nothing to roll back.
			if err := tx.Rollback(); err == nil || errors.Is(err, bolterrors.ErrTxClosed) {
				f.stuck = false
			}
		}()
		if err := do(tx); err != nil || !writable {
			return err
		}
		return tx.Commit()
	})
	if writable && !damaged(err) { // a commit that failed has written something too
		var untraced error
		f.seen, untraced = traceOf(f.handle)
		err = errors.Join(err, untraced)
	}
	return err
}

// write brings a batch into the file: first what is void, then the values, and with
// the last of them the number of the newest denial. A crash in between leaves a
// file that contains some of it and says that it lacks the denials.
func (f *file) write(b batch) error {
	for voided := b.voided; len(voided) > 0; {
		err := f.transact(true, func(tx *bbolt.Tx) (err error) {
			voided, err = deleteVoid(tx, voided, mostRecords)
			return err
		})
		if err != nil {
			return err
		}
	}
	return f.writeUpTo(b.applied, b.records())
}

// writeUpTo writes records, after which the file contains every denial up to seq.
func (f *file) writeUpTo(seq uint64, records []record) error {
	err := f.writeRecords(append(records, appliedRecord(seq)))
	if err == nil {
		f.applied = seq
	}
	return err
}

// writeRecords puts and deletes records, some thousand in one transaction.
func (f *file) writeRecords(records []record) error {
	for chunk := range slices.Chunk(records, mostRecords) {
		if err := f.fault("batch"); err != nil {
			return err
		}
		if err := f.transact(true, func(tx *bbolt.Tx) error { return putAll(tx, chunk) }); err != nil {
			return err
		}
	}
	return nil
}

func putAll(tx *bbolt.Tx, records []record) error {
	for _, r := range records {
		b := tx.Bucket([]byte{byte(r.bucket)})
		if b == nil {
			return fmt.Errorf("%w: %c", bolterrors.ErrBucketNotFound, r.bucket)
		}
		var err error
		if r.value == nil {
			err = b.Delete([]byte(r.key))
		} else {
			err = b.Put([]byte(r.key), r.value)
		}
		if err != nil {
			return fmt.Errorf("bucket %c: %w", r.bucket, err)
		}
	}
	return nil
}

// deleteVoid deletes up to most links and tags of void ids and returns the ids of
// which there may be more.
func deleteVoid(tx *bbolt.Tx, ids []uint32, most int) ([]uint32, error) {
	for i, id := range ids {
		for _, in := range []bucket{linksBucket, tagsBucket} {
			b := tx.Bucket([]byte{byte(in)})
			if b == nil {
				return nil, fmt.Errorf("%w: %c", bolterrors.ErrBucketNotFound, in)
			}
			for _, k := range keysOf(b, id, most) {
				if err := b.Delete(k); err != nil {
					return nil, err
				}
				most--
			}
			if most <= 0 {
				return ids[i:], nil
			}
		}
	}
	return nil, nil
}

// keysOf lists up to most keys that begin with an id. bbolt's cursor does not
// survive a deletion.
func keysOf(b *bbolt.Bucket, id uint32, most int) (keys [][]byte) {
	prefix := binary.BigEndian.AppendUint32(nil, id)
	c := b.Cursor()
	for k, _ := c.Seek(prefix); len(k) >= 4 && string(k[:4]) == string(prefix) && len(keys) < most; k, _ = c.Next() {
		keys = append(keys, slices.Clone(k))
	}
	return keys
}

// create makes the buckets of an empty file and notes its version.
func (f *file) create() error {
	return f.transact(true, func(tx *bbolt.Tx) error {
		for _, b := range []bucket{metaBucket, repositoriesBucket, linksBucket, tagsBucket, blocksBucket, blobsBucket} {
			if _, err := tx.CreateBucketIfNotExists([]byte{byte(b)}); err != nil {
				return err
			}
		}
		if err := tx.Bucket([]byte{byte(metaBucket)}).Put([]byte(formatKey), []byte{version}); err != nil {
			return err
		}
		return putAll(tx, []record{appliedRecord(0)})
	})
}
