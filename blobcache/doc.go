// Package blobcache keeps content by its digest: what is held, what is on its way,
// and what is known of it. A pull meets it like this:
//
//   - [Cache.Document] and [Cache.Open] give what is held: manifests and small
//     blobs from memory (memory.go), others from their files (package disk).
//   - [Cache.Join] reads a blob that is not held while it comes: one transfer for
//     everybody who wants it (package fill), kept as a file once its digest is right.
//   - [Cache.Index] holds tags, links, epochs and blocks (package index): who may
//     have what is held. Content is global, permission is per repository; this
//     package answers no question of permission itself.
//
// A failure of the cache never fails a pull: without room, or without a disk, a
// blob goes past it, still hashed.
package blobcache
