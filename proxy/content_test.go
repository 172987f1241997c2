package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"breakwater/proxy/registry"

	"github.com/opencontainers/go-digest"
)

// fakeContent is content with everything that can be the matter with it.
type fakeContent struct {
	bytes   []byte
	cold    bool  // not all here
	unknown bool  // its size as well
	fault   error // instead of the byte at breaks; io.EOF for a clean end that comes too early
	breaks  int64
	step    int             // the most bytes that a Read gives; 0: no limit
	gate    <-chan struct{} // closed when the bytes from gateAt on arrive
	gateAt  int64

	mu    sync.Mutex
	asked []string // sections, as "offset+n", with "v" for verified
	open  int      // sections that were not closed
}

func (f *fakeContent) Size() int64 {
	if f.unknown {
		return -1
	}
	return int64(len(f.bytes))
}

func (f *fakeContent) Held() bool { return !f.cold }

func (f *fakeContent) Section(ctx context.Context, offset, n int64, verified bool) io.ReadCloser {
	f.mu.Lock()
	defer f.mu.Unlock()
	section := fmt.Sprintf("%d+%d", offset, n)
	if verified {
		section += "v"
	}
	f.asked = append(f.asked, section)
	f.open++
	end := int64(len(f.bytes))
	if n >= 0 {
		end = offset + n
	}
	return &fakeSection{f: f, ctx: ctx, at: offset, end: end}
}

func (f *fakeContent) sections() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.asked, " ")
}

type fakeSection struct {
	f       *fakeContent
	ctx     context.Context
	at, end int64
	closed  bool
}

func (s *fakeSection) Read(p []byte) (int, error) {
	if s.f.gate != nil && s.at >= s.f.gateAt {
		select {
		case <-s.f.gate:
		case <-s.ctx.Done():
			return 0, context.Cause(s.ctx)
		}
	}
	end := s.end
	if s.f.fault != nil {
		end = min(end, s.f.breaks)
	}
	if s.f.gate != nil && s.at < s.f.gateAt {
		end = min(end, s.f.gateAt)
	}
	switch {
	case s.at < end:
	case s.at < s.end || s.f.unknown && s.f.fault != nil:
		return 0, s.f.fault
	default:
		return 0, io.EOF
	}
	n := copy(p, s.f.bytes[s.at:end])
	if s.f.step > 0 {
		n = min(n, s.f.step)
	}
	s.at += int64(n)
	return n, nil
}

func (s *fakeSection) Close() error {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	if s.closed {
		return errors.New("closed twice")
	}
	s.closed = true
	s.f.open--
	return nil
}

var (
	testDigest = digest.FromString("test")
	testTag    = etag(testDigest)
	errTest    = errors.New("the disk is on fire")
)

// answered is what came of a request.
type answered struct {
	*httptest.ResponseRecorder
	err error
}

// answerTo answers one request, "GET" with fields as "Name: value", and checks that
// all sections were closed.
func answerTo(t *testing.T, f *fakeContent, method string, fields ...string) answered {
	t.Helper()
	r := httptest.NewRequest(method, "/", nil)
	for _, field := range fields {
		if field == "HTTP/1.0" {
			r.Proto, r.ProtoMinor = field, 0
			continue
		}
		name, value, _ := strings.Cut(field, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	content(w.Header(), testDigest, "application/octet-stream")
	a := answered{w, serveContent(w, r, f, true)}
	if f.open != 0 {
		t.Errorf("%s %q: %d sections are open", method, fields, f.open)
	}
	return a
}

func sample(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

// TestAnswers gives each request's answer as "status content-range, length of
// the body: sections asked for".
func TestAnswers(t *testing.T) {
	held := func() *fakeContent { return &fakeContent{bytes: sample(100)} }
	cold := func() *fakeContent { return &fakeContent{bytes: sample(100), cold: true, step: 7} }
	unknown := func() *fakeContent { return &fakeContent{bytes: sample(100), cold: true, unknown: true} }
	empty := func() *fakeContent { return &fakeContent{} }
	type fields []string
	for _, c := range []struct {
		of     func() *fakeContent
		method string
		fields fields
		want   string
	}{
		{held, "GET", nil, "200 , 100: 0+100v"},
		{held, "HEAD", nil, "200 , 100: "},
		{cold, "GET", nil, "200 , 100: 0+100v"},
		{cold, "HEAD", nil, "200 , 100: "},
		{unknown, "GET", nil, "200 , : 0+-1v"},
		{unknown, "HEAD", nil, "200 , : "},
		{empty, "GET", nil, "200 , 0: 0+0v"},

		{held, "GET", fields{"Range: bytes=10-"}, "206 bytes 10-99/100, 90: 10+90"},
		{cold, "GET", fields{"Range: bytes=10-"}, "206 bytes 10-99/100, 90: 10+90"},
		{held, "GET", fields{"Range: bytes=10-19"}, "206 bytes 10-19/100, 10: 10+10"},
		{held, "GET", fields{"Range: bytes=-5"}, "206 bytes 95-99/100, 5: 95+5"},
		{cold, "GET", fields{"Range: bytes=90-100"}, "206 bytes 90-99/100, 10: 90+10"},
		{held, "GET", fields{"Range: bytes=0-98"}, "206 bytes 0-98/100, 99: 0+99"},
		{cold, "GET", fields{"Range: bytes=0-"}, "206 bytes 0-99/100, 100: 0+100v"}, // it could be taken for the whole
		{cold, "GET", fields{"Range: bytes=-100"}, "206 bytes 0-99/100, 100: 0+100v"},
		{cold, "GET", fields{"Range: bytes=0-99,100-"}, "206 bytes 0-99/100, 100: 0+100v"},

		{cold, "GET", fields{"Range: bytes=1-2,4-5"}, "200 , 100: 0+100v"}, // several parts wait for the whole anyway
		{cold, "GET", fields{"Range: bytes=1-2,100-"}, "206 bytes 1-2/100, 2: 1+2"},
		{held, "GET", fields{"Range: bytes=0-99,0-0"}, "200 , 100: 0+100v"},
		{held, "GET", fields{"Range: lines=1-2"}, "200 , 100: 0+100v"},
		{held, "GET", fields{"Range: bytes=2-1"}, "200 , 100: 0+100v"},
		{held, "GET", fields{"Range: bytes=1-2", "Range: bytes=1-2"}, "200 , 100: 0+100v"},
		{held, "GET", fields{"Range: bytes=0-0" + strings.Repeat(",1-1", 1024)}, "200 , 100: 0+100v"},
		{held, "HEAD", fields{"Range: bytes=1-2"}, "200 , 100: "},    // RFC 9110 §14.2
		{held, "HEAD", fields{"Range: bytes=100-"}, "200 , 100: "},   // the same
		{unknown, "GET", fields{"Range: bytes=1-"}, "200 , : 0+-1v"}, // nobody knows where it ends
		{unknown, "GET", fields{"Range: bytes=-1"}, "200 , : 0+-1v"},
		{empty, "GET", fields{"Range: bytes=0-"}, "200 , 0: 0+0v"},
		{empty, "GET", fields{"Range: bytes=-5"}, "200 , 0: 0+0v"},

		{held, "GET", fields{"Range: bytes=1-2", "If-Range: " + testTag}, "206 bytes 1-2/100, 2: 1+2"},
		{held, "GET", fields{"Range: bytes=1-2", `If-Range: "other"`}, "200 , 100: 0+100v"},
		{held, "GET", fields{"Range: bytes=100-", `If-Range: "other"`}, "200 , 100: 0+100v"},
		{held, "GET", fields{"Range: bytes=1-2", "If-Range: W/" + testTag}, "200 , 100: 0+100v"}, // RFC 9110 §13.1.5: strong
		{held, "GET", fields{"Range: bytes=1-2", "If-Range: Wed, 21 Oct 2015 07:28:00 GMT"}, "200 , 100: 0+100v"},
		{held, "GET", fields{"If-Range: " + testTag}, "200 , 100: 0+100v"},

		{held, "GET", fields{"If-None-Match: " + testTag}, "304 , : "},
		{held, "HEAD", fields{"If-None-Match: W/" + testTag}, "304 , : "},
		{held, "GET", fields{`If-None-Match: "a", W/"b" , ` + testTag}, "304 , : "},
		{held, "GET", fields{`If-None-Match: "a"`, "If-None-Match: " + testTag}, "304 , : "},
		{unknown, "GET", fields{"If-None-Match: *", "HTTP/1.0"}, "304 , : "},
		{held, "GET", fields{"If-None-Match: " + testTag, "Range: bytes=100-"}, "304 , : "}, // RFC 9110 §13.2.2
		{held, "GET", fields{`If-None-Match: "a"`}, "200 , 100: 0+100v"},
		{held, "GET", fields{"If-None-Match: " + testDigest.String()}, "200 , 100: 0+100v"}, // no quotes, no entity tag
		{held, "GET", fields{`If-None-Match: "a"`, "Range: bytes=1-2"}, "206 bytes 1-2/100, 2: 1+2"},

		{held, "GET", fields{"If-Match: " + testTag}, "200 , 100: 0+100v"},
		{held, "GET", fields{`If-Match: "a", ` + testTag}, "200 , 100: 0+100v"},
		{held, "GET", fields{"If-Match: *", "Range: bytes=1-2"}, "206 bytes 1-2/100, 2: 1+2"},
		{held, "GET", fields{"If-Match: " + testTag, "If-None-Match: " + testTag}, "304 , : "},
	} {
		name := fmt.Sprintf("%s %.80q of %+v", c.method, c.fields, c.of().Size())
		f := c.of()
		a := answerTo(t, f, c.method, c.fields...)
		h := a.Header()
		if got := fmt.Sprintf("%d %s, %s: %s", a.Code, h.Get("Content-Range"), h.Get("Content-Length"), f.sections()); got != c.want || a.err != nil {
			t.Errorf("%s:\n\t%s %v\nwant\n\t%s", name, got, a.err, c.want)
			continue
		}
		var wanted []byte
		if f.asked != nil {
			var offset, n int
			if _, err := fmt.Sscanf(f.asked[0], "%d+%d", &offset, &n); err != nil {
				t.Fatal(err)
			}
			if n < 0 {
				n = len(f.bytes)
			}
			wanted = f.bytes[offset : offset+n]
		}
		if !bytes.Equal(a.Body.Bytes(), wanted) {
			t.Errorf("%s: a body of %d bytes that are not those asked for", name, a.Body.Len())
		}
		if h.Get("Etag") != testTag || h.Get("Docker-Content-Digest") != testDigest.String() {
			t.Errorf("%s: %v does not name the content", name, h)
		}
		if accepts := h.Get("Accept-Ranges") == "bytes"; accepts != (a.Code != 304 && !f.unknown) {
			t.Errorf("%s: Accept-Ranges %q", name, h.Get("Accept-Ranges"))
		}
		if typed := h.Get("Content-Type") != ""; typed != (a.Code != 304) { // RFC 9110 §15.4.5
			t.Errorf("%s: Content-Type %q", name, h.Get("Content-Type"))
		}
	}
}

// What is refused is refused with a registry error, and nothing was written.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		f      *fakeContent
		method string
		fields []string
		status int
		code   registry.Code
		ranges string // Content-Range
	}{
		{&fakeContent{bytes: sample(100)}, "GET", []string{"Range: bytes=100-"}, 416, registry.CodeRangeInvalid, "bytes */100"},
		{&fakeContent{bytes: sample(100), cold: true}, "GET", []string{"Range: bytes=-0"}, 416, registry.CodeRangeInvalid, "bytes */100"},
		{&fakeContent{bytes: sample(100)}, "GET", []string{"Range: bytes=200-300,-0", "If-Range: " + testTag}, 416, registry.CodeRangeInvalid, "bytes */100"},
		{&fakeContent{bytes: sample(100)}, "GET", []string{`If-Match: "a"`}, 412, registry.CodeDigestInvalid, ""},
		{&fakeContent{bytes: sample(100)}, "HEAD", []string{"If-Match: W/" + testTag}, 412, registry.CodeDigestInvalid, ""}, // RFC 9110 §13.1.1: strong
		{&fakeContent{bytes: sample(100)}, "GET", []string{`If-Match: "a"`, "If-None-Match: *"}, 412, registry.CodeDigestInvalid, ""},
		{&fakeContent{bytes: sample(100), cold: true, unknown: true}, "GET", []string{"HTTP/1.0"}, 505, registry.CodeUnsupported, ""},
		{&fakeContent{bytes: sample(100), cold: true, unknown: true}, "HEAD", []string{"HTTP/1.0"}, 505, registry.CodeUnsupported, ""},
	} {
		a := answerTo(t, c.f, c.method, c.fields...)
		var refusal *registry.Error
		if !errors.As(a.err, &refusal) || refusal.Status != c.status || refusal.Code != c.code {
			t.Errorf("%s %q: %v, want %d %s", c.method, c.fields, a.err, c.status, c.code)
		}
		if got := a.Header().Get("Content-Range"); got != c.ranges {
			t.Errorf("%s %q: Content-Range %q, want %q", c.method, c.fields, got, c.ranges)
		}
		unsent(t, a)
	}
}

// unsent checks that an error came before the header, which says nothing more of
// the content.
func unsent(t *testing.T, a answered) {
	t.Helper()
	if errors.Is(a.err, errCut) || a.Flushed || a.Body.Len() != 0 || a.Result().ContentLength > 0 {
		t.Errorf("something was sent before %v", a.err)
	}
	for _, field := range []string{"Etag", "Docker-Content-Digest", "Accept-Ranges", "Content-Length"} {
		if value := a.Header().Get(field); value != "" {
			t.Errorf("with %v goes %s: %s", a.err, field, value)
		}
	}
}

func TestFirstBytesFail(t *testing.T) {
	for _, fields := range [][]string{nil, {"Range: bytes=10-"}, {"Range: bytes=0-"}, {"Range: bytes=10-19,20-29"}} {
		for fault, want := range map[error]error{errTest: errTest, io.EOF: io.ErrUnexpectedEOF} {
			a := answerTo(t, &fakeContent{bytes: sample(100), fault: fault}, "GET", fields...)
			if !errors.Is(a.err, want) {
				t.Errorf("%q: %v, want %v", fields, a.err, want)
			}
			unsent(t, a)
		}
	}
	a := answerTo(t, &fakeContent{bytes: sample(100), cold: true, unknown: true, fault: errTest}, "GET")
	if !errors.Is(a.err, errTest) {
		t.Errorf("of unknown size: %v", a.err)
	}
	unsent(t, a)
}

func TestSeveralParts(t *testing.T) {
	f := &fakeContent{bytes: sample(100_000), step: 999}
	var asked, want []string
	var sections []string
	for i := range maxParts {
		first := (i * 37) % 90_000 // unordered, overlapping
		asked = append(asked, fmt.Sprintf("%d-%d", first, first+i%80))
		sections = append(sections, fmt.Sprintf("%d+%d", first, i%80+1))
		want = append(want, fmt.Sprintf("application/octet-stream\nbytes %d-%d/100000\n%s", first, first+i%80, f.bytes[first:first+i%80+1]))
	}
	a := answerTo(t, f, "GET", "Range: bytes="+strings.Join(asked, ","))
	if a.err != nil || a.Code != 206 || a.Header().Get("Content-Range") != "" { // RFC 9110 §15.3.7.2
		t.Fatalf("%d %v, Content-Range %q", a.Code, a.err, a.Header().Get("Content-Range"))
	}
	if got := partsOf(t, a.ResponseRecorder); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%d parts, not the %d asked for", len(got), len(want))
	}
	if got, want := a.Header().Get("Content-Length"), fmt.Sprint(a.Body.Len()); got != want {
		t.Errorf("Content-Length %s of a body of %s", got, want)
	}
	if f.sections() != strings.Join(sections, " ") {
		t.Errorf("sections %s", f.sections())
	}
}

// contentServer is a server that does with errors what they ask for.
func contentServer(t *testing.T, f *fakeContent, failed chan<- error) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content(w.Header(), testDigest, "application/octet-stream")
		err := serveContent(w, r, f, true)
		var refusal *registry.Error
		switch {
		case err == nil:
			return
		case errors.Is(err, errCut):
			failed <- err
			panic(http.ErrAbortHandler)
		case errors.As(err, &refusal):
			w.WriteHeader(refusal.Status)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// A body that breaks in the middle is one that the client sees broken, whatever
// the form of the answer and the version of HTTP.
func TestBrokenBody(t *testing.T) {
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, c := range []struct {
			name   string
			f      *fakeContent
			ranges string
			length int64
		}{
			{"whole", &fakeContent{fault: errTest}, "", 1 << 20},
			{"clean end too early", &fakeContent{fault: io.EOF}, "", 1 << 20},
			{"in the last byte", &fakeContent{fault: errTest, breaks: 1<<20 - 1}, "", 1 << 20},
			{"cold", &fakeContent{cold: true, fault: errTest}, "", 1 << 20},
			{"unknown", &fakeContent{cold: true, unknown: true, fault: errTest}, "", -1},
			{"part", &fakeContent{cold: true, fault: errTest}, "bytes=100000-", 1<<20 - 100_000},
			{"in a later part", &fakeContent{fault: errTest}, "bytes=0-9,400000-899999", -2},
			{"at the beginning of a later part", &fakeContent{fault: errTest}, "bytes=0-99999,500000-899999", -2},
		} {
			t.Run(version+" "+c.name, func(t *testing.T) {
				f := c.f
				f.bytes = sample(1 << 20)
				if f.breaks == 0 {
					f.breaks = 500_000
				}
				failed := make(chan error, 1)
				server := contentServer(t, f, failed)
				if server.EnableHTTP2 = version == "HTTP/2.0"; server.EnableHTTP2 {
					server.StartTLS()
				} else {
					server.Start()
				}
				resp := getFrom(t, server, c.ranges)
				body, err := io.ReadAll(resp.Body)
				if resp.Proto != version || resp.StatusCode >= 400 || err == nil {
					t.Errorf("%s %s, and after %d bytes %v", resp.Proto, resp.Status, len(body), err)
				}
				if c.length >= -1 && resp.ContentLength != c.length || c.length < -1 && resp.ContentLength < 500_010 {
					t.Errorf("Content-Length %d", resp.ContentLength)
				}
				if err := <-failed; f.fault != io.EOF && !errors.Is(err, errTest) || f.fault == io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("the caller was told %v", err)
				}
			})
		}
	}
}

func getFrom(t *testing.T, server *httptest.Server, ranges string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ranges != "" {
		r.Header.Set("Range", ranges)
	}
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// What has arrived is sent, and its header before it, while the rest is not here.
func TestArriving(t *testing.T) {
	for _, unknown := range []bool{false, true} {
		gate := make(chan struct{})
		f := &fakeContent{bytes: sample(200_000), cold: true, unknown: unknown, gate: gate, gateAt: 10}
		server := contentServer(t, f, make(chan error, 1))
		server.Start()
		resp := getFrom(t, server, "") // returns with the header
		if wanted := f.Size(); resp.StatusCode != 200 || resp.ContentLength != wanted {
			t.Errorf("%s, Content-Length %d, want %d", resp.Status, resp.ContentLength, wanted)
		}
		close(gate)
		if body, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(body, f.bytes) {
			t.Errorf("%d bytes, %v", len(body), err)
		}
	}
}

// A client that leaves ends the wait for bytes, and the section is closed.
func TestLeavingClientEndsSection(t *testing.T) {
	f := &fakeContent{bytes: sample(200_000), cold: true, gate: make(chan struct{}), gateAt: 10}
	failed := make(chan error, 1)
	server := contentServer(t, f, failed)
	server.Start()
	_ = getFrom(t, server, "").Body.Close()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller was told %v", err)
	}
	server.Close() // waits for the answer to end
	if f.open != 0 {
		t.Error("the section is open")
	}
}

// A client of HTTP/1.0 gets what has a length.
func TestHTTP10(t *testing.T) {
	for _, c := range []struct {
		unknown bool
		want    string
	}{{false, "HTTP/1.0 200 OK"}, {true, "HTTP/1.0 505 HTTP Version Not Supported"}} {
		f := &fakeContent{bytes: sample(1000), cold: true, unknown: c.unknown}
		server := contentServer(t, f, make(chan error, 1))
		server.Start()
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(conn)
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.Proto+" "+resp.Status != c.want || !c.unknown && !bytes.Equal(body, f.bytes) {
			t.Errorf("%s %s, %d bytes, %v; want %s", resp.Proto, resp.Status, len(body), err, c.want)
		}
		_ = resp.Body.Close()
	}
}

// Buffers are shared by many answers, one after the other.
func TestManyClients(t *testing.T) {
	var clients sync.WaitGroup
	for i := range 24 {
		f := &fakeContent{bytes: bytes.Repeat([]byte{byte(i)}, 300_000+i), cold: i%2 == 0, step: 40_000}
		server := contentServer(t, f, make(chan error, 1))
		server.Start()
		clients.Go(func() {
			resp, err := server.Client().Get(server.URL)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(body, f.bytes) {
				t.Errorf("client %d: %d bytes, %v", i, len(body), err)
			}
		})
	}
	clients.Wait()
}

// onDisk is content in a file, whose section hands the file itself on.
type onDisk struct{ file *os.File }

func (d onDisk) Size() int64 {
	info, err := d.file.Stat()
	if err != nil {
		panic(err)
	}
	return info.Size()
}

func (d onDisk) Held() bool { return true }

func (d onDisk) Section(_ context.Context, offset, n int64, _ bool) io.ReadCloser {
	if _, err := d.file.Seek(offset, io.SeekStart); err != nil {
		panic(err)
	}
	return fileSection{&io.LimitedReader{R: d.file, N: n}}
}

type fileSection struct{ *io.LimitedReader }

func (s fileSection) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, s.LimitedReader) }
func (s fileSection) Close() error                       { return nil }

// readerFrom is a connection's writer that notes what it is given to read from.
type readerFrom struct {
	*httptest.ResponseRecorder
	from []string
}

func (r *readerFrom) ReadFrom(src io.Reader) (int64, error) {
	name := fmt.Sprintf("%T", src)
	if limited, ok := src.(*io.LimitedReader); ok {
		name += fmt.Sprintf(" of %T", limited.R)
	}
	r.from = append(r.from, name)
	return io.Copy(r.ResponseRecorder.Body, src)
}

// All of a file but its first bytes goes to the connection as a file: a limited
// one is what sendfile takes.
func TestFileReachesConnection(t *testing.T) {
	name := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(name, sample(1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := &readerFrom{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Range", "bytes=1000-")
	if err := serveContent(w, r, onDisk{file}, true); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(w.Body.Bytes(), sample(1 << 20)[1000:]) {
		t.Errorf("%d bytes, not those of the file", w.Body.Len())
	}
	if got := strings.Join(w.from, ", "); got != "*io.LimitedReader of *os.File" {
		t.Errorf("the connection was given %s", got)
	}
}
