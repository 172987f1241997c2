//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"breakwater/internal/harbortest"
)

// containerd's parallel fetch asks for everything from each of 16 places on, reads its
// part and hangs up. On a cold blob that is one transfer, on a held one none.
func TestParallelOpenRanges(t *testing.T) {
	const size, parts = 16 << 20, 16
	w := newCacheWorld(t, settings{})
	b := w.pushBlob(t, "team-a/ranges", 1, size)
	w.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, Rate: 16 << 20}) // so that it is cold for a second
	for _, state := range []string{"cold", "held"} {
		t.Run(state, func(t *testing.T) {
			w.harbor.ResetRequests()
			var fetching sync.WaitGroup
			for part := range parts {
				fetching.Go(func() { w.checkOpenRange(t, b, part*size/parts, size/parts) })
			}
			fetching.Wait()
			w.held(t, b)
			w.quiet()
			sent := int64(0)
			for _, r := range w.harbor.Requests() {
				if r.IsBlob() {
					sent += r.Bytes
				}
			}
			if state == "held" && sent > 0 || sent > size*102/100 {
				t.Errorf("Harbor sent %d bytes for a blob of %d: %v", sent, size, w.contentRequests())
			}
		})
	}
}

// checkOpenRange asks for all from offset on, reads n bytes and leaves.
func (w *cacheWorld) checkOpenRange(t *testing.T, b blob, offset, n int) {
	request, err := http.NewRequest(http.MethodGet, "http://"+w.breakwater.registry+b.path(), nil)
	if err != nil {
		t.Error(err)
		return
	}
	request.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(request)
	if err != nil {
		t.Error(err)
		return
	}
	defer resp.Body.Close()
	if want := fmt.Sprintf("bytes %d-%d/%d", offset, len(b.content)-1, len(b.content)); resp.StatusCode != http.StatusPartialContent || resp.Header.Get("Content-Range") != want {
		t.Errorf("from byte %d: status %d, Content-Range %q, want 206 and %q", offset, resp.StatusCode, resp.Header.Get("Content-Range"), want)
		return
	}
	got := make([]byte, n)
	if _, err := io.ReadFull(resp.Body, got); err != nil {
		t.Errorf("from byte %d: %v", offset, err)
	} else if !bytes.Equal(got, b.content[offset:offset+n]) {
		t.Errorf("the bytes from %d on are wrong", offset)
	}
}

// podman's partial pull asks for up to 1,024 parts at once. A held blob gives just
// these; of a cold one the whole may come instead.
func TestManyParts(t *testing.T) {
	const size, parts = 8 << 20, 1024
	w := newCacheWorld(t, settings{})
	b := w.pushBlob(t, "team-a/parts", 2, size)
	var spans []span
	var specs []string
	for i := range parts {
		first := i*size/parts + i // not on any boundary
		spans = append(spans, span{first, first + 3000 + i})
		specs = append(specs, fmt.Sprintf("%d-%d", first, first+3000+i))
	}
	asked := http.Header{"Range": {"bytes=" + strings.Join(specs, ",")}}

	resp, body := w.ask(t, b.path(), asked)
	switch resp.StatusCode {
	case http.StatusOK:
		if !bytes.Equal(body, b.content) {
			t.Errorf("cold: %d bytes came that are not the blob's", len(body))
		}
	case http.StatusPartialContent:
		checkParts(t, resp, body, spans, b.content)
	default:
		t.Errorf("cold: status %d", resp.StatusCode)
	}

	w.held(t, b)
	w.harbor.ResetRequests()
	resp, body = w.ask(t, b.path(), asked)
	if resp.StatusCode != http.StatusPartialContent {
		t.Fatalf("held: status %d, want 206", resp.StatusCode)
	}
	checkParts(t, resp, body, spans, b.content)
	if asked := w.contentRequests(); len(asked) > 0 {
		t.Errorf("Harbor heard %v", asked)
	}
}

// A span is a part of a blob, the last byte included.
type span struct{ first, last int }

// checkParts reads a body of parts (RFC 9110 §14.6) and compares each with what was
// asked for.
func checkParts(t *testing.T, resp *http.Response, body []byte, asked []span, content []byte) {
	t.Helper()
	mediaType, parameters, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || mediaType != "multipart/byteranges" {
		t.Fatalf("Content-Type %q, want multipart/byteranges", resp.Header.Get("Content-Type"))
	}
	reader := multipart.NewReader(bytes.NewReader(body), parameters["boundary"])
	for i, s := range asked {
		part, err := reader.NextRawPart()
		if err != nil {
			t.Fatalf("part %d: %v", i, err)
		}
		want := fmt.Sprintf("bytes %d-%d/%d", s.first, s.last, len(content))
		got, err := io.ReadAll(part)
		if err != nil || part.Header.Get("Content-Range") != want || !slices.Equal(got, content[s.first:s.last+1]) {
			t.Fatalf("part %d: %d bytes with Content-Range %q, error %v; want %q and its bytes", i, len(got), part.Header.Get("Content-Range"), err, want)
		}
	}
	if _, err := reader.NextRawPart(); err != io.EOF {
		t.Errorf("after the last part: %v, want the end", err)
	}
}
