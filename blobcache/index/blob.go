package index

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// Blobs yields the facts of blobs that the last process left, in no order. The
// store keeps them from here on, so they are yielded once.
func (x *Index) Blobs(yield func(d digest.Digest, size int64, modified, used time.Time)) {
	var blobs []blob
	x.locked(func() { blobs, x.state.blobs = x.state.blobs, nil })
	for _, b := range blobs {
		yield(b.key.digest(), b.size, fromNanoseconds(b.modified), fromNanoseconds(b.used))
	}
}

// PutBlob remembers the facts of a blob for the next start: its size in bytes, its
// file's time, and when it was last used.
func (x *Index) PutBlob(d digest.Digest, size int64, modified, used time.Time) {
	if k, ok := keyOf(d); ok && size >= 0 {
		x.remember(blobRecord(blob{k, size, nanoseconds(modified), nanoseconds(used)}))
	}
}

// DeleteBlob forgets them.
func (x *Index) DeleteBlob(d digest.Digest) {
	if k, ok := keyOf(d); ok {
		x.remember(record{blobsBucket, string(k), nil})
	}
}

// remember puts a record into the batch that memory does not hold.
func (x *Index) remember(r record) {
	x.mu.Lock()
	if !x.closed {
		x.state.batch.put(r)
	}
	x.mu.Unlock()
	x.wake()
}
