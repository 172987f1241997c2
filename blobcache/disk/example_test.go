package disk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"breakwater/blobcache/disk"

	"github.com/opencontainers/go-digest"
)

// forgetful remembers nothing: each blob is hashed at its first Open after a start.
type forgetful struct{}

func (forgetful) Blobs(func(digest.Digest, int64, time.Time, time.Time)) {}
func (forgetful) PutBlob(digest.Digest, int64, time.Time, time.Time)     {}
func (forgetful) DeleteBlob(digest.Digest)                               {}
func (forgetful) Clean() bool                                            { return false }

func Example() {
	if err := keepAndRead(); err != nil {
		fmt.Println(err)
	}
	// Output: 15 bytes: what was pulled
}

func keepAndRead() (err error) {
	dir, err := os.MkdirTemp("", "blobs")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx := context.Background()

	lock, err := disk.Take(ctx, dir, 10*time.Second, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	store, err := disk.Open(lock, disk.Options{Dir: dir, MaxSize: 1 << 30, Records: forgetful{}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	blob := []byte("what was pulled")
	d := digest.FromBytes(blob)
	partial, err := store.Create(d, int64(len(blob)))
	if err != nil {
		return err
	}
	_, err = partial.WriteAt(blob, 0)
	if err == nil {
		err = partial.Commit() // once the digest was found right
	}
	if err := errors.Join(err, partial.Close()); err != nil {
		return err
	}

	held, err := store.Open(ctx, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Close()) }()
	text, err := io.ReadAll(held.File())
	fmt.Printf("%d bytes: %s\n", held.Size(), text)
	return err
}
