// Package disk keeps blobs as plain files, by digest, within a budget. It is the
// bottom of the cache and knows no HTTP, no registry and no upstream.
//
// A blob's life goes round once: absent → filling → present → leaving → absent.
//
//  1. [Store.Create] promises room and opens a file in partial/ (partial.go). Bytes
//     are claimed before they are written (room.go): a claim that does not fit
//     evicts the least recently used blobs that nobody reads, or is refused.
//  2. [Partial.Commit] makes the file durable, renames it to
//     blobs/<algorithm>/<2 hex>/<hex>, and the blob is present.
//  3. [Store.Open] pins it, opens the file and compares size and modification time
//     with what is remembered (blob.go). A difference, or a stop that was not an
//     orderly one, makes its bytes be hashed anew before anybody gets them
//     (verify.go). Pinned blobs are not evicted.
//  4. An eviction, [Store.Remove] or damage takes it out of the ledger, unlinks the
//     file, and only then counts its bytes as free; those of a file that somebody
//     still reads when its reader closes it.
//
// A file's name is the digest and nothing else, so that any tool can check it, no
// memory is spent on names, and a start never finds two files of one blob. That an
// unlink and a new fill do not meet at that name is the ledger's doing: Create waits
// for the unlink, and who opened a file looks afterwards whether its blob was
// removed meanwhile.
//
// All that is decided is decided in the ledger (ledger.go), in memory, under one
// mutex that is never held over the disk: lock, look, unlock, work, lock, publish.
// All files are reached through one [os.Root] (folder.go), folders 0700, files 0600.
// The file "lock" says which process has the folder ([Take]), "FORMAT" what is in it.
//
// Nothing is hashed at start (start.go): files are matched with what [Records]
// remember, partials are dropped, and so no space is lost after a crash.
package disk
