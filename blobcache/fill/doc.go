// Package fill brings a blob from upstream once, for everybody who wants it.
//
// A [Fill] is one blob under way. It begins at once, detached from whoever asked
// first. Its main stream reads the blob from the beginning into a sparse [File];
// a sorted set of intervals says which bytes are there, and a hash follows the
// unbroken beginning of them. Everybody who reads, the first one included, waits
// for an interval and then reads it from the file, so a hundred clients cost
// upstream one transfer.
//
// A reader that is far ahead of the main stream has its own aligned segment
// fetched; the main stream goes round what a segment has brought or is bringing.
// A transfer that breaks is resumed where it broke, from the next [Source] in turn.
//
// Nobody gets a whole blob that was not verified: of a section that is read as
// verified the last 64 KiB (all of it, of a smaller blob) wait until the digest was
// right, and never come when it was wrong.
//
// Permission is each reader's own: a [Source] that has not been proven in this fill
// is asked first, and one that refuses takes only its own readers with it.
//
// A disk that fails does not fail a reader. The file is given up, and each reader
// goes on by a transfer of its own from where the file ends, with the same promises;
// [Bypass] does so from the beginning.
//
// The package knows no HTTP and no folder. A fill's road is: New → run → fetch
// (stream, segment) → conclude; a reader's: Join → Section → await → bypass, if need be.
package fill
