package fill

// Smaller makes the distances at which segments are fetched 64 times smaller: still
// more than a chunk, so that the main stream is out of a segment's way.
func (o Options) Smaller() Options {
	o.smaller = 64
	return o
}
