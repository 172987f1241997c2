package proxy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"

	"breakwater/proxy/registry"

	"github.com/opencontainers/go-digest"
)

// judge says what is wrong with an answer, all but the body of a HEAD.
func (m *mirror) judge(p pull, a asked, got answer) error {
	for _, name := range []string{"Set-Cookie", "Content-Encoding", "Location", "Server", "X-Harbor-Csrf-Token"} {
		if got.Header.Get(name) != "" {
			return fmt.Errorf("%s is sent", name)
		}
	}
	if got.err != nil {
		return got.err
	}
	repository, kind, found, ok := m.find(a)
	switch {
	case p.basic && !slices.Contains(a.header, "Authorization: Basic {account}"):
		if !strings.HasPrefix(got.Header.Get("Www-Authenticate"), `Basic realm="`) {
			return errors.New("no challenge")
		}
		return refusedWith(a, got, http.StatusUnauthorized, "UNAUTHORIZED")
	case a.target == "/v2/":
		return whole(a, got, "application/json", []byte("{}"))
	case kind == "tags":
		var tags []string
		for name := range m.tags {
			if tag, ok := strings.CutPrefix(name, repository+":"); ok {
				tags = append(tags, `"`+tag+`"`)
			}
		}
		slices.Sort(tags)
		return whole(a, got, "application/json", fmt.Appendf(nil, `{"name":%q,"tags":[%s]}`, repository, strings.Join(tags, ",")))
	case kind == "referrers": // of which a proxy-cache project has none
		return whole(a, got, registry.TypeOCIIndex, []byte(`{"schemaVersion":2,"mediaType":"`+registry.TypeOCIIndex+`","manifests":[]}`+"\n"))
	case !ok && kind == "manifests":
		return refusedWith(a, got, http.StatusNotFound, "MANIFEST_UNKNOWN")
	case !ok:
		return refusedWith(a, got, http.StatusNotFound, "UNSUPPORTED")
	}
	d := found.digest.String()
	if got.Header.Get("Docker-Content-Digest") != d || got.Header.Get("Etag") != `"`+d+`"` {
		return errors.New("digest and ETag are other ones")
	}
	if found.body == nil && a.method == http.MethodGet && digest.FromBytes(got.body) == found.digest {
		found.body = got.body
	}
	if kind == "manifests" {
		return whole(a, got, found.mediaType, found.body)
	}
	if got.Header.Get("Accept-Ranges") != "bytes" {
		return errors.New("ranges are not offered")
	}
	for _, field := range a.header {
		if asked, ok := strings.CutPrefix(field, "Range: bytes="); ok {
			return parts(got, strings.Split(asked, ","), found.body)
		}
	}
	return whole(a, got, "application/octet-stream", found.body)
}

func refusedWith(a asked, got answer, status int, code string) error {
	if got.StatusCode != status || a.method == http.MethodGet && !strings.HasPrefix(string(got.body), `{"errors":[{"code":"`+code+`","message":"`) {
		return fmt.Errorf("want %d %s", status, code)
	}
	return nil
}

// whole compares with a 200 that has the whole body, or would have.
func whole(a asked, got answer, mediaType string, body []byte) error {
	switch {
	case got.StatusCode != http.StatusOK:
		return errors.New("want 200")
	case got.Header.Get("Content-Type") != mediaType:
		return errors.New("want " + mediaType)
	case body != nil && got.ContentLength != int64(len(body)):
		return fmt.Errorf("%d bytes are promised, of %d", got.ContentLength, len(body))
	case a.method == http.MethodGet && !bytes.Equal(got.body, body):
		return fmt.Errorf("other bytes than %.200q", body)
	}
	return nil
}

// parts compares with the 206 (RFC 9110 §15.3.7) for ranges that name where they begin.
func parts(got answer, asked []string, body []byte) error {
	mediaType, parameters, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
	if err != nil || got.StatusCode != http.StatusPartialContent || got.ContentLength != int64(len(got.body)) {
		return fmt.Errorf("want a 206: %v", err)
	}
	next := func() (string, []byte, error) { return got.Header.Get("Content-Range"), got.body, nil }
	if len(asked) > 1 {
		if mediaType != "multipart/byteranges" {
			return errors.New("want multipart/byteranges")
		}
		reader := multipart.NewReader(bytes.NewReader(got.body), parameters["boundary"])
		next = func() (string, []byte, error) {
			part, err := reader.NextPart()
			if err != nil {
				return "", nil, err
			}
			bytes, err := io.ReadAll(part)
			return part.Header.Get("Content-Range"), bytes, err
		}
	}
	for _, spec := range asked {
		from, to := 0, len(body)-1
		if _, err := fmt.Sscanf(spec, "%d-%d", &from, &to); err != nil && !strings.HasSuffix(spec, "-") {
			return err
		}
		to = min(to, len(body)-1)
		told, sent, err := next()
		if want := fmt.Sprintf("bytes %d-%d/%d", from, to, len(body)); err != nil || told != want || !bytes.Equal(sent, body[from:to+1]) {
			return fmt.Errorf("for %s, want %s: %s, %d bytes, %v", spec, want, told, len(sent), err)
		}
	}
	return nil
}
