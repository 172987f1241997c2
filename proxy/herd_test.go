package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/blobcache"
	"breakwater/internal/harbortest"

	"github.com/opencontainers/go-digest"
	"go.uber.org/zap"
)

const mib = 1 << 20

// random makes the bytes of a blob, the same each time.
func random(size int) (string, []byte) {
	body := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(size >> 20), 3}).Read(body) // does not fail
	return digest.FromBytes(body).String(), body
}

// gated is an upstream with one blob, whose body stops in the middle until the gate is
// open.
type gated struct {
	body []byte
	gate chan struct{}

	mu   sync.Mutex
	gets []string // with their Range
	sent int64
}

func (g *gated) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !harbortest.Blobs(r) {
		return // GET /v2/: a registry that wants no token
	}
	g.mu.Lock()
	g.gets = append(g.gets, r.Method+" "+r.Header.Get("Range"))
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(gatedWriter{w, g}, r, "", time.Time{}, &gatedReader{bytes.NewReader(g.body), g})
}

// seen are the questions so far, and the bytes that were sent.
func (g *gated) seen() ([]string, int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.gets), g.sent
}

type gatedReader struct {
	*bytes.Reader
	*gated
}

func (r *gatedReader) Read(p []byte) (int, error) {
	if int64(r.Len()) <= r.Size()/2 {
		<-r.gate
	}
	return r.Reader.Read(p)
}

type gatedWriter struct {
	http.ResponseWriter
	*gated
}

func (w gatedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent += int64(n)
	return n, err
}

// reading is one client that takes what it wants of a blob, and leaves.
type reading struct {
	ranges string // of its request
	from   int    // where its bytes begin in the blob
	take   int    // bytes before it leaves; 0: all
	first  func() // called with the first byte, may be nil
}

// read compares what comes with the blob, byte by byte, and returns how many came.
func (w *world) read(target string, blob []byte, c reading) (int, error) {
	req, err := http.NewRequestWithContext(w.Context(), http.MethodGet, w.url+target, nil)
	if err != nil {
		return 0, err
	}
	want := http.StatusOK
	if c.ranges != "" {
		req.Header.Set("Range", c.ranges)
		want = http.StatusPartialContent
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != want {
		return 0, errors.New(resp.Status)
	}
	rest := blob[c.from:]
	if c.take > 0 {
		rest = rest[:c.take]
	}
	buffer, at := make([]byte, 256<<10), 0
	for at < len(rest) {
		n, err := resp.Body.Read(buffer[:min(len(buffer), len(rest)-at)])
		if n > 0 && at == 0 && c.first != nil {
			c.first()
		}
		if !bytes.Equal(buffer[:n], rest[at:at+n]) {
			return at, fmt.Errorf("wrong bytes within %d+%d", c.from+at, n)
		}
		if at += n; err != nil && (err != io.EOF || at < len(rest)) {
			return at, err
		}
	}
	return at, nil
}

// filled waits until a transfer has ended: its last bytes come before it is durable.
func (w *world) filled(d string) {
	for !w.cache.Held(digest.Digest(d)) {
		if w.Context().Err() != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// A hundred clients on one cold blob, some of whom leave: upstream sends it once, each
// has its first byte while half of the blob is still upstream, and every byte is right.
func TestColdHerd(t *testing.T) {
	d, body := random(64 * mib)
	upstream := &gated{body: body, gate: make(chan struct{})}
	w := before(t, upstream)
	var first, clients sync.WaitGroup
	first.Add(100)
	for i := range 100 {
		clients.Go(func() {
			client := reading{first: first.Done}
			if i >= 10 { // most leave, to spare the machine that runs this
				client.take = 1 + i*50_000
			}
			if n, err := w.read("/v2/team/app/blobs/"+d, body, client); err != nil {
				t.Errorf("client %d: %v after %d bytes", i, err, n)
			}
		})
	}
	first.Wait() // a client that gets nothing before the end hangs the test here
	close(upstream.gate)
	clients.Wait()
	w.filled(d)
	if gets, sent := upstream.seen(); !slices.Equal(gets, []string{"GET "}) || sent != 64*mib {
		t.Errorf("upstream saw %q and sent %d bytes", gets, sent)
	}
	if w.events.told("joined") != 99 || w.events.told("fill stored") != 1 || w.events.told("bypassed disk")+w.events.told("bypassed room") != 0 {
		t.Errorf("told %v", w.events.cache)
	}
	if n, err := w.read("/v2/team/app/blobs/"+d, body, reading{}); err != nil {
		t.Errorf("warm: %v after %d bytes", err, n)
	}
}

// containerd fetches a layer by many open-ended ranges at once, reads its part of each
// and leaves: that is one transfer.
func TestParallelOpenEndedRanges(t *testing.T) {
	const size, part = 64 * mib, 4 * mib
	d, body := random(size)
	upstream := &gated{body: body, gate: make(chan struct{})}
	close(upstream.gate)
	w := before(t, upstream)
	var clients sync.WaitGroup
	for at := 0; at < size; at += part {
		clients.Go(func() {
			n, err := w.read("/v2/team/app/blobs/"+d, body, reading{ranges: fmt.Sprintf("bytes=%d-", at), from: at, take: part})
			if err != nil {
				t.Errorf("from %d: %v after %d bytes", at, err, n)
			}
		})
	}
	clients.Wait()
	w.events.last(t)
	// Where this machine is so busy that the transfer counts as slow, a segment is
	// fetched, and what the kernel has buffered of the transfer that goes round it is
	// lost. TestParallelRangesOfASlowBlob has no such buffers.
	lost := int64(w.events.told("segment")) * 6 * mib
	if gets, sent := upstream.seen(); sent > size*102/100+lost {
		t.Errorf("upstream sent %d bytes for %d: %q", sent, size, gets)
	}
	if n, err := w.read("/v2/team/app/blobs/"+d, body, reading{}); err != nil {
		t.Errorf("warm: %v after %d bytes", err, n)
	}
}

// push makes a blob at Harbor and returns its path.
func (w *world) push(repository string, body []byte) string {
	w.Helper()
	project, _, _ := strings.Cut(repository, "/")
	content, err := w.harbor.Content(project)
	if err != nil {
		w.Fatal(err)
	}
	d, err := content.PushBlob(repository, body)
	if err != nil {
		w.Fatal(err)
	}
	return "/v2/" + repository + "/blobs/" + d.String()
}

// sent counts the bytes of blobs that Harbor sent since the log was emptied.
func (w *world) sent() (n int64) {
	for _, r := range w.harbor.Requests() {
		if r.IsBlob() && r.Method == http.MethodGet {
			n += r.Bytes
		}
	}
	return n
}

// visitor is a client in a bubble, who leaves after as many bytes as it wants.
type visitor struct {
	header http.Header
	status int
	body   bytes.Buffer
	want   int // bytes; 0: all
	leave  context.CancelFunc
	took   time.Duration // until it left
}

func (v *visitor) Header() http.Header    { return v.header }
func (v *visitor) WriteHeader(status int) { v.status = status }
func (v *visitor) Flush()                 {}

func (v *visitor) Write(p []byte) (int, error) {
	if v.want > 0 && v.body.Len() >= v.want {
		return 0, io.ErrClosedPipe
	}
	n, err := v.body.Write(p)
	if v.want > 0 && v.body.Len() >= v.want {
		v.leave()
	}
	return n, err
}

// visit makes a request, and returns when it was answered, or cut.
func (b *bubble) visit(target string, want int, headers ...string) (v *visitor) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	v = &visitor{header: http.Header{}, want: want, leave: cancel}
	req := httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	began := time.Now()
	defer func() {
		v.took = time.Since(began)
		if cut := recover(); cut != nil && cut != http.ErrAbortHandler {
			panic(cut)
		}
	}()
	b.proxy.Behind(b.gate, b.policy.usual).ServeHTTP(v, req)
	return v
}

// The same ranges of a blob that comes slowly: segments are fetched for those far
// ahead, and no byte twice.
func TestParallelRangesOfASlowBlob(t *testing.T) {
	const size, part = 48 * mib, 3 * mib
	_, body := random(size)
	inBubble(t, account, nil, func(b *bubble) {
		target := b.push("team-a/app", body)
		b.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, Rate: 4 * mib})
		var clients sync.WaitGroup
		for at := 0; at < size; at += part {
			clients.Go(func() {
				v := b.visit(target, part, fmt.Sprintf("Range: bytes=%d-", at))
				if v.status != http.StatusPartialContent || !bytes.HasPrefix(v.body.Bytes(), body[at:at+part]) {
					t.Errorf("from %d: %d, %d bytes", at, v.status, v.body.Len())
				}
			})
		}
		clients.Wait()
		b.pass(time.Minute)
		if sent := b.sent(); sent > size*102/100 {
			t.Errorf("upstream sent %d bytes for %d", sent, size)
		}
		if b.events.told("segment") == 0 || b.events.told("fill stored") != 1 {
			t.Errorf("told %v", b.events.cache)
		}
		b.harbor.ResetRequests()
		if v := b.visit(target, 0); !bytes.Equal(v.body.Bytes(), body) || b.sent() != 0 {
			t.Errorf("warm: %d bytes, %d from upstream", v.body.Len(), b.sent())
		}
	})
}

// A small range at the end of a cold blob that comes slowly does not wait for all
// before it.
func TestTailOfASlowBlob(t *testing.T) {
	const size = 48 * mib
	_, body := random(size)
	inBubble(t, account, nil, func(b *bubble) {
		target := b.push("team-a/app", body)
		b.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, Rate: mib})
		var whole sync.WaitGroup
		whole.Go(func() {
			if v := b.visit(target, 0); !bytes.Equal(v.body.Bytes(), body) || v.took > 50*time.Second {
				t.Errorf("the whole: %d bytes after %v", v.body.Len(), v.took)
			}
		})
		b.pass(2 * time.Second)
		for _, ranges := range []string{"bytes=-65536", fmt.Sprintf("bytes=%d-%d", size-100_000, size-1), fmt.Sprintf("bytes=%d-", size-3*mib)} {
			v := b.visit(target, 0, "Range: "+ranges)
			if v.status != http.StatusPartialContent || !bytes.HasSuffix(body, v.body.Bytes()) || v.body.Len() < 65536 {
				t.Errorf("%s: %d, %d bytes", ranges, v.status, v.body.Len())
			}
			if v.took > 6*time.Second {
				t.Errorf("%s took %v, the whole blob takes 48 s", ranges, v.took)
			}
		}
		whole.Wait()
		synctest.Wait()
		if sent := b.sent(); sent > size*102/100 {
			t.Errorf("upstream sent %d bytes for %d", sent, size)
		}
	})
}

// An upstream that breaks off thirty times, or stands still, with ranges and without:
// the client sees one unbroken body.
func TestThirtyCuts(t *testing.T) {
	const size = 4 * mib
	_, body := random(size)
	for name, fault := range map[string]harbortest.Fault{
		"cut": {Cut: true}, "cut without ranges": {Cut: true, IgnoreRange: true},
		"stalled and cut": {Stall: 20 * time.Second, Cut: true}, "stalled": {Stall: 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, account, nil, func(b *bubble) {
				target := b.push("team-a/app", body)
				var points []int64
				for range 30 {
					points = append(points, 1+rand.Int64N(size/31))
				}
				if fault.IgnoreRange { // each begins anew: later each time, to get on
					for i := range points {
						points[i] += int64(i) * (size / 31)
					}
				}
				for _, at := range points {
					fault.Match, fault.Times, fault.After = harbortest.Blobs, 1, at
					b.harbor.AddFault(fault)
				}
				if v := b.visit(target, 0); v.status != http.StatusOK || !bytes.Equal(v.body.Bytes(), body) {
					t.Errorf("%d, %d bytes; cuts after %v\n%s", v.status, v.body.Len(), points, b.log)
				}
				b.pass(time.Second)
				want := 30
				if !fault.Cut {
					want = 0
				}
				if got := b.events.told("resumed"); got != want || b.events.told("fill stored") != 1 {
					t.Errorf("%d resumed, want %d; told %v", got, want, b.events.cache)
				}
				if sent := b.sent(); !fault.IgnoreRange && sent != size {
					t.Errorf("upstream sent %d bytes for %d", sent, size)
				}
			})
		})
	}
}

// Where the storage cuts and the next signature has expired already, Harbor is asked
// for another one.
func TestExpiredSignatureInMidFill(t *testing.T) {
	_, body := random(4 * mib)
	w := newWorld(t, account)
	target := w.push("team-a/app", body)
	front := harbortest.Path("/v2/team-a/app/blobs/")
	storage := func(r *http.Request) bool { // which does not look into the body where the signature has expired
		return strings.HasPrefix(r.URL.Path, "/harbor/team-a/app/blobs/") && r.URL.Query().Get("X-Amz-Expires") != "-60"
	}
	for range 3 {
		w.harbor.AddFault(harbortest.Fault{Match: front, RedirectTo: w.origin.StorageURL, Times: 1})
		w.harbor.AddFault(harbortest.Fault{Match: front, RedirectTo: w.origin.StorageURL, Expires: -time.Minute, Times: 1})
		w.harbor.AddFault(harbortest.Fault{Match: storage, After: 1 + rand.Int64N(mib), Cut: true, Times: 1})
	}
	w.harbor.AddFault(harbortest.Fault{Match: front, RedirectTo: w.origin.StorageURL})
	if n, err := w.read(target, body, reading{}); err != nil {
		t.Errorf("%v after %d bytes\n%s", err, n, strings.Join(w.saw(), "\n"))
	}
	expired := w.harbor.Count(func(r harbortest.Request) bool {
		return strings.HasPrefix(r.Path, "/harbor/") && r.Status == http.StatusForbidden
	})
	if expired != 3 {
		t.Errorf("%d expired signatures were met:\n%s", expired, strings.Join(w.saw(), "\n"))
	}
}

// A herd on wrong bytes: nobody gets all of them, nothing is stored, upstream is left
// alone for a while, and a healthy one is believed after that.
func TestHerdOnWrongBytes(t *testing.T) {
	_, body := random(2 * mib)
	inBubble(t, account, nil, func(b *bubble) {
		target := b.push("team-a/app", body)
		b.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, WrongDigest: true, Rate: mib})
		var clients sync.WaitGroup
		for range 20 {
			clients.Go(func() {
				if v := b.visit(target, 0); v.body.Len() > 2*mib-64<<10 {
					t.Errorf("%d, %d bytes", v.status, v.body.Len())
				}
			})
		}
		clients.Wait()
		b.pass(100 * time.Millisecond)
		if disk := b.cache.Stats().Disk; disk.Bytes != 0 || disk.Objects != 0 || b.events.told("fill mismatch") != 1 || b.events.mismatches != 1 {
			t.Errorf("%+v, %d mismatches, told %v", disk, b.events.mismatches, b.events.cache)
		}
		b.clearFaults()
		b.saw()
		b.get(502, "GET "+target)
		b.expect()
		b.pass(time.Second)
		if v := b.visit(target, 0); !bytes.Equal(v.body.Bytes(), body) {
			t.Errorf("from a healthy upstream: %d, %d bytes", v.status, v.body.Len())
		}
	})
}

// A blob larger than the budget goes through: right, told, and not kept.
func TestLargerThanTheBudget(t *testing.T) {
	_, body := random(4 * mib)
	w := newWorld(t, account)
	target := w.push("team-a/app", body)
	cache, err := blobcache.Open(t.Context(), blobcache.Options{Dir: t.TempDir(), MaxSize: 3 * mib, Memory: mib, Events: w.events, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	small := w.policy.over(w.client, cache, w.events, zap.NewNop())
	server := httptest.NewServer(small.Behind(w.gate, w.policy.usual))
	t.Cleanup(func() {
		server.Close()
		if err := errors.Join(small.Close(), cache.Close()); err != nil {
			t.Error(err)
		}
	})
	w.url = server.URL
	for range 2 {
		if n, err := w.read(target, body, reading{}); err != nil {
			t.Errorf("%v after %d bytes", err, n)
		}
		w.events.last(t)
	}
	if disk := cache.Stats().Disk; w.sent() != 8*mib || w.events.told("bypassed room") != 2 || disk.Objects != 0 {
		t.Errorf("upstream sent %d bytes, %+v, told %v", w.sent(), disk, w.events.cache)
	}
	w.harbor.AddFault(harbortest.Fault{Match: harbortest.Blobs, WrongDigest: true})
	if n, err := w.read(target, body, reading{}); err == nil {
		t.Errorf("wrong bytes past the cache: %d bytes, no error", n)
	}
}
