package disk

import "math/bits"

// blocks is the set of a sparse file's blocks that have bytes.
type blocks []uint64

// missing counts the blocks of [first, end) that are not in the set.
func (b blocks) missing(first, end int64) int64 {
	n := end - first
	for i := first; i < end; i++ {
		if word := i / 64; word < int64(len(b)) && b[word]&(1<<(i%64)) != 0 {
			n--
		}
	}
	return n
}

// add puts [first, end) into the set.
func (b *blocks) add(first, end int64) {
	for i := first; i < end; i++ {
		for i/64 >= int64(len(*b)) {
			*b = append(*b, 0)
		}
		(*b)[i/64] |= 1 << (i % 64)
	}
}

// count of the blocks in the set.
func (b blocks) count() int64 {
	n := 0
	for _, word := range b {
		n += bits.OnesCount64(word)
	}
	return int64(n)
}
