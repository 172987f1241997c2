// Package index is what Breakwater knows about content: which repository may
// serve which digest ([Link]), what a tag names ([Tag]), under which [Epoch] that
// was learnt, which digests are blocked, and the facts of stored blobs. It knows
// no HTTP and no upstream.
//
// Memory is the truth while the process runs, and every question is answered
// from it. Two files are there for the next start:
//
//   - the index (bbolt), to which grants are written in sorted batches within a
//     second (write.go, file.go). Losing the last second of grants costs only a
//     question to upstream.
//   - the journal (journal.go), to which denials are appended and fsync'd before
//     the call returns: a revoked epoch, a suspended link or tag, a block, a purge.
//     Losing one would open what was closed.
//
// Denials have a number of their own (denial.go), and the index says up to which
// one it contains them. A start reads the index and applies the journal's later
// denials to it; so a denial wins over every batch that was prepared before it,
// and kill −9 at any moment revives nothing. The journal, rather than a synchronous
// transaction of the index, because a denial then costs one fsync, never waits for
// a batch, and holds while the index is damaged or being rebuilt.
//
// A repository's links and tags are kept under a number that is given once (its
// id): the next epoch is another id, and what was stored under the former one is
// void by construction, whenever it was written.
//
// Every hour a copy of the index is taken and checked (copy.go), and the journal
// begins anew at the number that the copy contains. A damaged index is renamed
// aside. While running it is written anew from memory; at a start the copy is
// taken, which is as good, only older: the journal still holds every denial since.
// Where the journal itself is damaged after an unclean stop, nobody can tell what
// was denied, and all links and tags are dropped (restore.go). Blocks are in the
// journal, all of them, and in the index up to its last batch.
//
// bbolt checks little of what it maps, and a damaged page makes it panic, fault,
// or loop. Therefore the file's structure is checked before bbolt sees it
// (sound.go), a file that somebody else has written to or truncated is not written
// to again, every transaction runs in a guard that turns panics and faults into
// errors (guard.go), and every record carries a checksum (record.go).
package index
