package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"

	"breakwater/proxy/registry"
)

// Content is bytes that a client may have, wherever they are: in memory, in a
// file, or arriving.
type Content interface {
	// Size is in bytes; -1 when it is not known before the end.
	Size() int64
	// Held tells whether all of it is here already: a multipart answer is given
	// only then.
	Held() bool
	// Section reads [offset, offset+n), for n < 0 to the end. With verified the
	// last bytes come only after the digest was found right, and an error in their
	// place where it was not. An error comes again when it is read past. A section
	// that is an [io.WriterTo] goes on with that after its first bytes were read:
	// one on a file reaches sendfile so.
	Section(ctx context.Context, offset, n int64, verified bool) io.ReadCloser
}

// errCut is in the chain of an error that came after the header: a client that
// was promised more bytes can be told only by cutting the connection.
var errCut = errors.New("the body broke off")

// serveContent answers GET and HEAD with content: 200, 206 (RFC 9110 §15.3.7) or
// 304. The fields that name it, Content-Type and Etag above all, are in the
// header already. Ranges count where inParts is true. An error without [errCut] is one before the header was sent: a
// [*registry.Error] for 412, 416 and 505, and what the first bytes failed with.
func serveContent(w http.ResponseWriter, r *http.Request, c Content, inParts bool) error {
	a := contentAnswer{w: w, r: r, content: c, size: c.Size(), inParts: inParts}
	err := a.serve()
	if err != nil && !errors.Is(err, errCut) {
		for _, field := range []string{"Accept-Ranges", "Docker-Content-Digest", "Etag"} {
			w.Header().Del(field) // they speak of content, and an error comes instead
		}
	}
	return err
}

type contentAnswer struct {
	w       http.ResponseWriter
	r       *http.Request
	content Content
	size    int64
	inParts bool
}

// serve judges the conditions in the order of RFC 9110 §13.2.2.
func (a contentAnswer) serve() error {
	h := a.w.Header()
	etag := h.Get("Etag")
	if condition := a.r.Header.Values("If-Match"); len(condition) > 0 && !namesTag(condition, etag, "") {
		return registry.Errorf(http.StatusPreconditionFailed, registry.CodeDigestInvalid, "If-Match names other content than this, whose ETag is %s", etag)
	}
	if namesTag(a.r.Header.Values("If-None-Match"), etag, "W/") {
		h.Del("Content-Type") // §15.4.5
		a.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if a.size < 0 && !a.r.ProtoAtLeast(1, 1) {
		return registry.Errorf(http.StatusHTTPVersionNotSupported, registry.CodeUnsupported,
			"it is not known yet how long this is: ask by HTTP/1.1, in which an end can be told from a break")
	}
	var parts []byteRange
	ok := true
	if a.inParts {
		parts, ok = rangesAsked(a.r, etag, a.size)
	}
	if !ok {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", a.size))
		return registry.Errorf(http.StatusRequestedRangeNotSatisfiable, registry.CodeRangeInvalid, "the range lies outside of the content, which has %d bytes", a.size)
	}
	if a.inParts && a.size >= 0 {
		h.Set("Accept-Ranges", "bytes")
	}
	switch {
	case a.r.Method == http.MethodHead:
		a.begin(http.StatusOK, a.size)
		return nil
	case len(parts) == 1:
		return a.one(http.StatusPartialContent, parts[0])
	case len(parts) > 1 && a.content.Held():
		return a.several(parts)
	}
	return a.one(http.StatusOK, byteRange{0, a.size})
}

// begin sends the header. Of a body that is still arriving it goes ahead, for
// the next bytes may be long in coming.
func (a contentAnswer) begin(status int, length int64) {
	if length >= 0 {
		a.w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	}
	a.w.WriteHeader(status)
	if a.r.Method == http.MethodGet && !a.content.Held() {
		_ = http.NewResponseController(a.w).Flush() // where it cannot be flushed, it is late
	}
}

// one sends the whole, or one part. The whole is verified; a part has no digest,
// and does not wait for that of the whole.
func (a contentAnswer) one(status int, part byteRange) error {
	body, err := a.open(part, part == byteRange{0, a.size})
	if err != nil {
		return err
	}
	if status == http.StatusPartialContent {
		a.w.Header().Set("Content-Range", part.contentRange(a.size))
	}
	a.begin(status, part.length)
	return body.sendTo(a.w)
}

// several sends parts as multipart/byteranges (RFC 9110 §14.6), as they were
// asked for, one after the other.
func (a contentAnswer) several(parts []byteRange) error {
	body, err := a.open(parts[0], false)
	if err != nil {
		return err
	}
	h := a.w.Header()
	mediaType := h.Get("Content-Type")
	out := multipart.NewWriter(a.w)
	h.Set("Content-Type", "multipart/byteranges; boundary="+out.Boundary())
	a.begin(http.StatusPartialContent, multipartLength(parts, mediaType, a.size))
	for i, part := range parts {
		if i > 0 {
			if body, err = a.open(part, false); err != nil {
				return brokenOff(err)
			}
		}
		to, err := out.CreatePart(partHeader(part, mediaType, a.size))
		if err != nil {
			body.close()
			return brokenOff(err)
		}
		if err := body.sendTo(to); err != nil {
			return err
		}
	}
	return brokenOff(out.Close())
}

// contentBody is a section whose first bytes are here, so that what fails before
// them can still be told by a status.
type contentBody struct {
	*bufio.Reader
	section io.ReadCloser
	length  int64 // -1: not known
}

// windows are the buffers of bodies; they are nobody's between two answers.
var windows = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 64<<10) }}

func (a contentAnswer) open(part byteRange, verified bool) (contentBody, error) {
	b := contentBody{windows.Get().(*bufio.Reader), a.content.Section(a.r.Context(), part.start, part.length, verified), part.length}
	b.Reset(b.section)
	_, err := b.Peek(1)
	switch {
	case err == nil || err == io.EOF && b.length <= 0:
		return b, nil
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	b.close()
	return contentBody{}, err
}

// sendTo sends all of the body, and closes it. A clean end that comes too early
// is a break.
func (b contentBody) sendTo(w io.Writer) error {
	defer b.close()
	n, err := b.WriteTo(w)
	if err == nil && b.length >= 0 && n != b.length {
		err = io.ErrUnexpectedEOF
	}
	return brokenOff(err)
}

func (b contentBody) close() {
	_ = b.section.Close() // it was only read
	b.Reset(nil)
	windows.Put(b.Reader)
}

func brokenOff(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errCut, err)
}

// namesTag tells whether fields of entity tags have "*" or the current tag (RFC
// 9110 §13.1.1, §13.1.2). A tag may begin with the prefix: "W/" where the
// comparison is a weak one (§8.8.3.2), nothing where it is strong.
func namesTag(fields []string, current, prefix string) bool {
	for _, field := range fields {
		for tag := range strings.SplitSeq(field, ",") {
			tag = strings.TrimPrefix(textproto.TrimString(tag), prefix)
			if tag == "*" || tag == current {
				return true
			}
		}
	}
	return false
}
