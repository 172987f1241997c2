package proxy

import (
	"errors"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// maxParts is the most parts of one Range that are looked at; a client that asks
// for more gets the whole (RFC 9110 §14.2 lets a server ignore Range). Partial
// pulls ask for up to 1,024.
const maxParts = 1024

// byteRange is a part of content that has a known size. A length of -1, which
// only stands for content of unknown size, goes to the end.
type byteRange struct{ start, length int64 }

// contentRange is the field of RFC 9110 §14.4.
func (b byteRange) contentRange(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", b.start, b.start+b.length-1, size)
}

// rangesAsked reads a request's Range for content of a size and an ETag. No
// parts mean the whole: Range counts for GET only (RFC 9110 §14.2), where its
// condition holds, and for a size that is known and not zero. The second result
// is false when the content has none of what was asked for (§15.5.17).
func rangesAsked(r *http.Request, etag string, size int64) ([]byteRange, bool) {
	asked, condition := r.Header.Values("Range"), r.Header.Get("If-Range")
	if r.Method != http.MethodGet || len(asked) != 1 || size <= 0 {
		return nil, true
	}
	// The comparison is strong, and a date never matches: nothing here has a
	// Last-Modified (§13.1.5).
	if condition != "" && condition != etag {
		return nil, true
	}
	return parseRanges(asked[0], size)
}

// parseRanges reads the field of RFC 9110 §14.2. A unit that is not ours and a
// syntax error make it count for nothing, as do too many parts, and parts that
// are more than the whole together (§17.15).
func parseRanges(field string, size int64) (parts []byteRange, satisfiable bool) {
	unit, set, _ := strings.Cut(field, "=")
	if !strings.EqualFold(unit, "bytes") { // §14.1: the names of units have no case
		return nil, true
	}
	asked, left := 0, size
	for spec := range strings.SplitSeq(set, ",") {
		if spec = textproto.TrimString(spec); spec == "" {
			continue // §5.6.1.2: a list may have empty elements
		}
		part, ok := parseRange(spec, size)
		asked++
		left -= part.length
		switch {
		case !ok, asked > maxParts, left < 0:
			return nil, true
		case part.length > 0:
			parts = append(parts, part)
		}
	}
	return parts, asked == 0 || len(parts) > 0
}

// parseRange reads an int-range or a suffix-range of RFC 9110 §14.1.2, cut to
// the size. One that cannot be satisfied has no length.
func parseRange(spec string, size int64) (part byteRange, ok bool) {
	first, last, dash := strings.Cut(spec, "-")
	if !dash {
		return byteRange{}, false
	}
	if first == "" {
		suffix, ok := bytePosition(last)
		suffix = min(suffix, size)
		return byteRange{size - suffix, suffix}, ok
	}
	start, ok := bytePosition(first)
	end := size - 1
	if last != "" && ok {
		if end, ok = bytePosition(last); end < start {
			return byteRange{}, false
		}
	}
	return byteRange{start, max(0, min(end, size-1)-start+1)}, ok
}

// bytePosition reads digits. A number beyond 63 bits becomes the largest, which
// is beyond all sizes as well.
func bytePosition(digits string) (int64, bool) {
	if strings.Trim(digits, "0123456789") != "" { // ParseUint looks no further than where it is too large
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	return int64(n), err == nil || errors.Is(err, strconv.ErrRange)
}

func partHeader(part byteRange, mediaType string, size int64) textproto.MIMEHeader {
	return textproto.MIMEHeader{"Content-Range": {part.contentRange(size)}, "Content-Type": {mediaType}}
}

// multipartLength is what several will send: boundaries are all of one length.
func multipartLength(parts []byteRange, mediaType string, size int64) int64 {
	var length byteCount
	out := multipart.NewWriter(&length)
	for _, part := range parts {
		_, _ = out.CreatePart(partHeader(part, mediaType, size)) // a byteCount never fails
		length += byteCount(part.length)
	}
	_ = out.Close() // the same
	return int64(length)
}

type byteCount int64

func (c *byteCount) Write(p []byte) (int, error) {
	*c += byteCount(len(p))
	return len(p), nil
}
