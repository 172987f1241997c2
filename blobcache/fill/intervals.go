package fill

import "slices"

// span is the bytes [start, end) of a blob.
type span struct{ start, end int64 }

// intervals is a set of bytes, kept as sorted spans that neither touch nor overlap.
type intervals []span

// find returns the index of the first span that ends at or after at.
func (s intervals) find(at int64) int {
	i, _ := slices.BinarySearchFunc(s, at, func(have span, at int64) int {
		switch {
		case have.end < at:
			return -1
		case have.end > at:
			return 1
		}
		return 0
	})
	return i
}

// add puts in [start, end), joining what it touches.
func (s *intervals) add(start, end int64) {
	if start >= end {
		return
	}
	first := s.find(start)
	last := first
	for ; last < len(*s) && (*s)[last].start <= end; last++ {
		start, end = min(start, (*s)[last].start), max(end, (*s)[last].end)
	}
	*s = slices.Replace(*s, first, last, span{start, end})
}

// until returns where the unbroken bytes from at on end; at itself if that byte is missing.
func (s intervals) until(at int64) int64 {
	if i := s.find(at + 1); i < len(s) && s[i].start <= at {
		return s[i].end
	}
	return at
}

// gap returns the missing bytes around at, which is missing. Its end is limit at most.
func (s intervals) gap(at, limit int64) span {
	missing := span{0, limit}
	i := s.find(at + 1)
	if i > 0 {
		missing.start = s[i-1].end
	}
	if i < len(s) {
		missing.end = min(limit, s[i].start)
	}
	return missing
}
