package proxy_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/proxy/registry"

	"github.com/opencontainers/go-digest"
)

func (w *world) tick() <-chan time.Time { return time.After(100 * time.Millisecond) }

// No client ever gets a complete body that is not what its digest says.
func TestWrongBytes(t *testing.T) {
	w := newWorld(t, account)
	small, large := w.layer("team-a/app"), w.layer("team-a/big")
	byDigest := w.get(200, "HEAD /v2/team-a/app/manifests/1.1").Header.Get("Docker-Content-Digest")
	w.harbor.AddFault(harbortest.Fault{WrongDigest: true})

	w.refused(502, "UNAVAILABLE", "GET /v2/team-a/app/blobs/"+small)
	w.refused(502, "UNAVAILABLE", "GET /v2/team-a/app/manifests/"+byDigest)
	w.refused(502, "UNAVAILABLE", "GET /v2/team-a/app/manifests/1.1")
	a := w.send("GET /v2/team-a/big/blobs/" + large) // cut, or 502 where all came before a client read any
	if a.StatusCode != 502 && (a.StatusCode != 200 || a.err == nil || int64(len(a.body)) > a.ContentLength-64<<10) {
		t.Errorf("the client got %d of %d wrong bytes, %v", len(a.body), a.ContentLength, a.err)
	}
	w.events.last(t)
	if w.events.mismatches != 4 {
		t.Errorf("%d digest mismatches were counted, want 4", w.events.mismatches)
	}

	w.clearFaults()
	for _, path := range []string{"/v2/team-a/app/blobs/" + small, "/v2/team-a/big/blobs/" + large} {
		w.eventually("GET " + path) // wrong bytes are not asked for again at once
	}
}

func TestLoginPageIsNoManifest(t *testing.T) {
	w := newWorld(t, account)
	w.warm("team-a/app")
	w.harbor.AddFault(harbortest.Fault{HTML: true})
	w.refused(502, "UNAVAILABLE", "GET /v2/team-a/app/manifests/1.0")
	w.get(502, "HEAD /v2/team-a/app/manifests/1.0")
	w.refused(502, "UNAVAILABLE", "GET /v2/team-a/app/tags/list")
	w.refused(502, "UNAVAILABLE", "GET /v2/team-a/app/blobs/sha256:"+strings.Repeat("0", 64))
}

func TestGatewayFaults(t *testing.T) {
	for _, c := range []struct {
		fault harbortest.Fault
		after string // Retry-After that the client gets
		tries int
	}{
		{harbortest.Fault{Status: 429, RetryAfter: "7"}, "7", 1},
		{harbortest.Fault{Status: 429, RetryAfter: "999999"}, "120", 1},
		{harbortest.Fault{Status: 503, RetryAfter: "9"}, "9", 1},
		{harbortest.Fault{Status: 500}, "5", 1},
		{harbortest.Fault{Status: 502}, "5", 3},
		{harbortest.Fault{Status: 504}, "5", 3},
		{harbortest.Fault{Reset: true}, "5", 3},
	} {
		t.Run(fmt.Sprint(c.fault.Status, c.fault.RetryAfter), func(t *testing.T) {
			w := newWorld(t, account)
			w.warm("team-a/app")
			c.fault.Match = harbortest.Manifests
			w.harbor.AddFault(c.fault)
			a := w.refused(503, "UNAVAILABLE", "GET /v2/team-a/app/manifests/1.0")
			if got := a.Header.Get("Retry-After"); got != c.after {
				t.Errorf("Retry-After: %q, want %q", got, c.after)
			}
			if n := len(w.saw()); n < c.tries {
				t.Errorf("%d tries, want %d", n, c.tries)
			}
		})
	}
}

func TestPassingFaultsAreBridged(t *testing.T) {
	for _, fault := range []harbortest.Fault{{Status: 503}, {Status: 502}, {Reset: true}} {
		w := newWorld(t, account)
		w.warm("team-a/app")
		fault.Times, fault.Match = 2, harbortest.Manifests
		w.harbor.AddFault(fault)
		w.get(200, "GET /v2/team-a/app/manifests/1.0")
	}
}

// A transfer that breaks at whatever point goes on where it broke: the client sees
// one unbroken body.
func TestCutsAreResumed(t *testing.T) {
	for name, fault := range map[string]harbortest.Fault{
		"cuts": {Cut: true}, "cuts without ranges": {Cut: true, IgnoreRange: true},
		"cuts behind a redirect": {Cut: true},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			w := newWorld(t, account)
			large := w.layer("team-a/big")
			for range 5 {
				fault.Match, fault.Times, fault.After = harbortest.Blobs, 1, 1+rand.Int64N(2<<20)
				if name == "cuts behind a redirect" {
					fault.RedirectTo = w.origin.StorageURL
				}
				w.harbor.AddFault(fault)
			}
			a := w.get(200, "GET /v2/team-a/big/blobs/"+large)
			if a.err != nil || digest.FromBytes(a.body).String() != large {
				t.Errorf("%d bytes, %v", len(a.body), a.err)
			}
			w.events.last(t)
			if w.events.told("resumed") == 0 {
				t.Error("no resumed transfer was counted")
			}
		})
	}
}

// One that never goes on is no complete body.
func TestCutBodyIsNeverComplete(t *testing.T) {
	w := newWorld(t, account)
	large := w.layer("team-a/big")
	w.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, Times: 1, After: 1 << 20, Cut: true})
	w.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, Status: 404})
	a := w.get(200, "GET /v2/team-a/big/blobs/"+large)
	if a.err == nil || len(a.body) > 1<<20 {
		t.Errorf("%d bytes, %v", len(a.body), a.err)
	}
	w.events.last(t)
	if !strings.Contains(w.log.String(), `"level":"warn"`) || !strings.Contains(w.log.String(), "404") {
		t.Errorf("the log does not tell of the cut:\n%s", w.log)
	}
}

// A client that leaves takes its request upstream with it, and is counted.
func TestClientLeaves(t *testing.T) {
	w := newWorld(t, account)
	large := w.layer("team-a/big")
	w.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, Delay: time.Minute})
	client := &http.Client{Timeout: 300 * time.Millisecond}
	if resp, err := client.Get(w.url + "/v2/team-a/big/blobs/" + large); err == nil {
		_ = resp.Body.Close()
		t.Fatal("the answer was there at once")
	}
	if got := w.events.last(t); got.Status != 499 || got.Kind != "blob" {
		t.Errorf("counted as %+v", got)
	}
}

func TestBlobRedirectIsFollowedHere(t *testing.T) {
	w := newWorld(t, account)
	layer := w.layer("team-a/app")
	w.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, RedirectTo: w.origin.StorageURL})
	w.harbor.ResetRequests()
	a := w.get(200, "GET /v2/team-a/app/blobs/"+layer)
	if digest.FromBytes(a.body).String() != layer {
		t.Error("wrong bytes")
	}
	elsewhere := 0
	for _, r := range w.harbor.Requests() {
		if !strings.HasSuffix(w.origin.StorageURL, r.Host) {
			continue
		}
		elsewhere++
		for name := range r.Header {
			if name != "Accept-Encoding" && name != "Range" {
				t.Errorf("the storage was sent %s: %s", name, r.Header.Get(name))
			}
		}
	}
	if elsewhere != 1 {
		t.Errorf("%d requests reached the storage, want 1", elsewhere)
	}
}

// An expired signature is a reason to ask Harbor again, and never a refusal.
func TestExpiredRedirectIsAskedAgain(t *testing.T) {
	w := newWorld(t, account)
	layer := w.layer("team-a/app")
	w.harbor.AddFault(harbortest.Fault{Match: harbortest.Path("/v2/team-a/app/blobs/"), RedirectTo: w.origin.StorageURL, Expires: -time.Minute, Times: 1})
	w.harbor.AddFault(harbortest.Fault{Match: harbortest.Path("/v2/team-a/app/blobs/"), RedirectTo: w.origin.StorageURL})
	w.get(200, "GET /v2/team-a/app/blobs/"+layer)
	w.clearFaults()
	other := w.layer("team-a/big")
	w.harbor.AddFault(harbortest.Fault{Match: harbortest.Path("/v2/team-a/big/blobs/"), RedirectTo: w.origin.StorageURL, Expires: -time.Minute})
	w.refused(502, "UNAVAILABLE", "GET /v2/team-a/big/blobs/"+other)
}

// An upstream that is no Harbor, or an evil one.
func TestEvilUpstream(t *testing.T) {
	manifest := []byte(`{"schemaVersion":2,"mediaType":"` + registry.TypeOCIManifest + `"}`)
	path := "/v2/a/manifests/" + digest.FromBytes(manifest).String()
	blob := []byte("the bytes of a blob")
	blobPath := "/v2/a/blobs/" + digest.FromBytes(blob).String()
	good := func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", registry.TypeOCIManifest)
		_, _ = w.Write(manifest)
	}
	for name, c := range map[string]struct {
		request string
		status  int
		serve   http.HandlerFunc
	}{
		"informational answers with cookies": {"GET " + path, 200, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Set-Cookie", "evil=1")
			w.Header().Set("Link", "</x>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			good(w)
		}},
		"trailers": {"GET " + path, 200, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "Set-Cookie")
			w.Header().Set(http.TrailerPrefix+"X-Evil", "1")
			good(w)
			w.Header().Set("Set-Cookie", "evil=1")
		}},
		"switching protocols": {"GET " + path, 502, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\n")
			_ = conn.Close()
		}},
		"gzip though identity was asked": {"GET " + path, 502, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", registry.TypeOCIManifest)
			z := gzip.NewWriter(w)
			_, _ = z.Write(manifest)
			_ = z.Close()
		}},
		"an endless manifest": {"GET " + path, 502, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", registry.TypeOCIManifest)
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}},
		"a manifest of another type than it says": {"GET " + path, 502, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", registry.TypeDockerList)
			_, _ = w.Write(manifest)
		}},
		"a type with a parameter": {"GET " + path, 200, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "Application/vnd.oci.image.manifest.v1+json; charset=utf-8")
			_, _ = w.Write(manifest)
		}},
		"a digest that is none": {"GET /v2/a/manifests/1", 502, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Docker-Content-Digest", "sha256:nonsense")
			good(w)
		}},
		"a 416 nobody asked for": {"GET " + blobPath, 502, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		}},
		"a list without end": {"GET /v2/a/tags/list", 502, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		}},
		"two encodings": {"GET /v2/a/tags/list", 502, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Encoding"] = []string{"identity", "gzip"}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{}")
		}},
		"a range nobody asked for": {"GET " + blobPath, 502, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-3/19")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(blob[:4])
		}},
		"a blob that calls itself a page": {"GET " + blobPath, 200, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write(blob)
		}},
		"a header of a megabyte": {"GET " + path, 503, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Large", strings.Repeat("x", 1<<20))
			good(w)
		}},
		"a redirect to nowhere": {"GET " + path, 502, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) }},
		"a redirect in a circle": {"GET " + path, 502, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		}},
		"a manifest that lies elsewhere": {"GET " + path, 502, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.2:1/x", http.StatusTemporaryRedirect)
		}},
		"a blob at the metadata service": {"GET " + blobPath, 502, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusTemporaryRedirect)
		}},
		"an error with an escape sequence": {"GET " + path, 404, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"errors":[{"code":"X","message":"\u001b[31m\r\nX-Evil: 1`+strings.Repeat("long", 1000)+`"}]}`)
		}},
		"a status of no class": {"GET " + path, 502, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(799) }},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			w := before(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v2/" {
					return // no authentication here
				}
				c.serve(rw, r)
			}))
			a := w.get(c.status, c.request)
			for _, header := range []http.Header{a.Header, a.Trailer} {
				if header.Get("Set-Cookie") != "" || header.Get("X-Evil") != "" || header.Get("Link") != "" {
					t.Errorf("the client was sent %v", header)
				}
			}
			if len(a.body) > 2000 || bytes.ContainsAny(a.body, "\x1b\r") || a.Header.Get("Content-Type") == "text/html" {
				t.Errorf("%v %q", a.Header, a.body)
			}
		})
	}
}

// What waits for slow clients has a bound.
func TestDocumentsInMemoryAreBounded(t *testing.T) {
	list := `{"name":"a","tags":["` + strings.Repeat("x", 15<<20) + `"]}`
	w := before(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("Content-Length", fmt.Sprint(len(list)))
		_, _ = io.WriteString(rw, list)
	}))
	refused := 0
	for range 24 { // 24 × 15 MiB do not fit
		conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		if _, err := io.WriteString(conn, "GET /v2/a/tags/list HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		status := make([]byte, 12)
		if _, err := io.ReadFull(conn, status); err != nil { // and no more is read
			t.Fatal(err)
		}
		if string(status) == "HTTP/1.1 503" {
			refused++
			break
		}
	}
	if refused == 0 {
		t.Error("24 lists of 15 MiB were held for clients that do not read")
	}
}

// An HTTP/1.0 client cannot tell the end of a body from a break, unless it was
// told a length.
func TestOldClientGetsNoBlobOfUnknownLength(t *testing.T) {
	blob := []byte("the bytes of a blob")
	w := before(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			_, _ = rw.Write(blob)
			_ = http.NewResponseController(rw).Flush() // chunked, and its end is not in sight
			<-r.Context().Done()
		}
	}))
	path := "/v2/a/blobs/" + digest.FromBytes(blob).String()
	conn, err := textproto.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.PrintfLine("GET %s HTTP/1.0\r\n", path); err != nil {
		t.Fatal(err)
	}
	if line, err := conn.ReadLine(); err != nil || !strings.Contains(line, " 505 ") {
		t.Errorf("the first line is %q, %v", line, err)
	}
}

// A 1xx is not a final header: the client must not see it at all.
func TestInformationalAnswersStayHere(t *testing.T) {
	w := before(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			rw.WriteHeader(http.StatusEarlyHints)
		}
		rw.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(rw, `{"name":"a","tags":[]}`)
	}))
	conn, err := textproto.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.PrintfLine("GET /v2/a/tags/list HTTP/1.1\r\nHost: x\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := conn.ReadLine(); err != nil || line != "HTTP/1.1 200 OK" {
		t.Errorf("the first line is %q, %v", line, err)
	}
}
