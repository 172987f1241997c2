package harbortest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestFaults meets each fault once, with a layer, and then finds it gone.
func TestFaults(t *testing.T) {
	type seen struct {
		*http.Response
		body    []byte
		err     error
		elapsed time.Duration
	}
	for _, c := range []struct {
		name  string
		fault Fault
		right func(got seen, content []byte) bool
	}{
		{"delay", Fault{Delay: 3 * time.Second}, func(got seen, content []byte) bool {
			return got.elapsed == 3*time.Second && bytes.Equal(got.body, content[10:])
		}},
		{"reset", Fault{Reset: true}, func(got seen, _ []byte) bool { return got.Response == nil && got.err != nil }},
		{"429", Fault{Status: 429, RetryAfter: "2"}, func(got seen, _ []byte) bool {
			return got.StatusCode == 429 && got.Header.Get("Retry-After") == "2" && bytes.Contains(got.body, []byte("TOOMANYREQUESTS"))
		}},
		{"503", Fault{Status: 503}, func(got seen, _ []byte) bool { return got.StatusCode == 503 && got.Header.Get("Retry-After") == "" }},
		{"html", Fault{HTML: true}, func(got seen, _ []byte) bool {
			return got.StatusCode == 200 && got.Header.Get("Content-Type") == "text/html; charset=utf-8"
		}},
		{"ignore range", Fault{IgnoreRange: true}, func(got seen, content []byte) bool {
			return got.StatusCode == 200 && bytes.Equal(got.body, content)
		}},
		{"wrong digest", Fault{WrongDigest: true}, func(got seen, content []byte) bool {
			return got.err == nil && len(got.body) == len(content)-10 && !bytes.Equal(got.body, content[10:])
		}},
		{"cut", Fault{Cut: true, After: 1000}, func(got seen, content []byte) bool {
			return errors.Is(got.err, io.ErrUnexpectedEOF) && bytes.Equal(got.body, content[10:1010])
		}},
		{"cut before the body", Fault{Cut: true}, func(got seen, _ []byte) bool {
			return got.StatusCode == 206 && errors.Is(got.err, io.ErrUnexpectedEOF) && len(got.body) == 0
		}},
		{"stall", Fault{Stall: time.Minute, After: 1000}, func(got seen, content []byte) bool {
			return got.elapsed == time.Minute && bytes.Equal(got.body, content[10:])
		}},
		{"rate", Fault{Rate: 100}, func(got seen, content []byte) bool {
			return got.elapsed == time.Duration(len(content)-10)*10*time.Millisecond && bytes.Equal(got.body, content[10:])
		}},
		{"rate below a byte in each tenth of a second", Fault{Rate: 4}, func(got seen, content []byte) bool {
			return got.elapsed == time.Duration(len(content)-10)*250*time.Millisecond && bytes.Equal(got.body, content[10:])
		}},
		{"rate, stall and cut", Fault{Rate: 100, After: 1000, Stall: time.Minute, Cut: true}, func(got seen, content []byte) bool {
			return got.elapsed == 70*time.Second && errors.Is(got.err, io.ErrUnexpectedEOF) && bytes.Equal(got.body, content[10:1010])
		}},
		{"rate and wrong digest", Fault{Rate: 100, WrongDigest: true}, func(got seen, content []byte) bool {
			return got.err == nil && len(got.body) == len(content)-10 && !bytes.Equal(got.body, content[10:])
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := newClient(t)
				defer client.close()
				digest, content := client.layer(client.content("team-a"), "team-a/app", "1.0")
				header := client.bearer(Puller, appPull)
				header.Set("Range", "bytes=10-")
				get := func() seen {
					start := time.Now()
					response, body, err := client.do(http.MethodGet, "/v2/team-a/app/blobs/"+digest, header)
					return seen{response, body, err, time.Since(start)}
				}
				client.http.CloseIdleConnections() // on a used connection net/http would try again after a reset
				c.fault.Match, c.fault.Times = Path("/blobs/"+digest), 1
				client.h.AddFault(c.fault)
				if got := get(); !c.right(got, content) {
					t.Errorf("with the fault: %+v, %d bytes, %v, %v", got.Response, len(got.body), got.err, got.elapsed)
				}
				if got := get(); got.err != nil || got.StatusCode != 206 || !bytes.Equal(got.body, content[10:]) {
					t.Errorf("after the fault: %+v, %d bytes, %v", got.Response, len(got.body), got.err)
				}
			})
		})
	}
}

// A rate is each connection's own, it holds at every moment, and a client that
// leaves does not wait for the rest.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate = 1000
		c := newClient(t)
		defer c.close()
		digest, content := c.layer(c.content("team-a"), "team-a/app", "1.0")
		header := c.bearer(Puller, appPull)
		c.h.AddFault(Fault{Match: Blobs, Rate: rate})
		open := func(method, digest string) *http.Response {
			request, err := http.NewRequest(method, c.server.URL+"/v2/team-a/app/blobs/"+digest, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header = header
			response, err := c.http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			return response
		}
		whole := time.Duration(len(content)) * time.Second / rate
		start := time.Now()
		for _, asked := range []string{digest, "sha256:" + strings.Repeat("0", 64)} { // the latter is told an error, which has a body for GET
			open(http.MethodHead, asked).Body.Close()
			if took := time.Since(start); took != 0 {
				t.Errorf("HEAD of %s took %v", asked, took)
			}
		}
		var clients sync.WaitGroup
		for range 3 {
			clients.Go(func() {
				response := open(http.MethodGet, digest)
				defer response.Body.Close()
				var body []byte
				for buffer := make([]byte, 512); ; {
					n, err := response.Body.Read(buffer)
					body = append(body, buffer[:n]...)
					if allowed := time.Since(start) * rate / time.Second; len(body) > int(allowed) {
						t.Errorf("%d bytes after %v", len(body), time.Since(start))
					}
					if err == io.EOF {
						break
					} else if err != nil {
						t.Error(err)
						return
					}
				}
				if took := time.Since(start); took != whole || !bytes.Equal(body, content) {
					t.Errorf("%d bytes in %v, want %d in %v", len(body), took, len(content), whole)
				}
			})
		}
		clients.Wait()
		start = time.Now()
		open(http.MethodGet, digest).Body.Close()
		c.close()
		if took := time.Since(start); took > time.Second/10 {
			t.Errorf("the answer went on for %v after its client had left", took)
		}
	})
}

func TestFaultsAreCountedAndCleared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		defer c.close()
		header := basic(Puller, Password(Puller))
		c.h.AddFault(Fault{Match: Tokens, Status: 500})
		c.h.AddFault(Fault{Times: 2, Status: 503})
		c.h.AddFault(Fault{Status: 502})
		var got []int
		for range 4 {
			got = append(got, c.status("/v2/", header))
		}
		c.h.ClearFaults()
		got = append(got, c.status("/v2/", header), c.status("/service/token?service=harbor-registry", header))
		want := []int{503, 503, 502, 502, 200, 200}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("statuses %v, want %v", got, want)
			}
		}
	})
}

// TestObjectStorage follows a blob to another host by its presigned URL.
func TestObjectStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t)
		defer c.close()
		digest, content := c.layer(c.content("team-a"), "team-a/app", "1.0")
		c.h.AddFault(Fault{Match: Blobs, RedirectTo: c.server.StorageURL, Expires: time.Minute})
		locate := func(method string) string {
			response, _, err := c.do(method, "/v2/team-a/app/blobs/"+digest, c.bearer(Puller, appPull))
			if err != nil || response.StatusCode != http.StatusTemporaryRedirect {
				t.Fatalf("%s: %+v, %v", method, response, err)
			}
			return response.Header.Get("Location")
		}
		location := locate(http.MethodGet)
		response, body, err := c.do(http.MethodGet, location, http.Header{"Range": {"bytes=5-"}})
		if err != nil || response.StatusCode != http.StatusPartialContent || !bytes.Equal(body, content[5:]) {
			t.Errorf("GET with Range: %+v, %v", response, err)
		}
		if etag := response.Header.Get("Etag"); etag == "" || etag == `"`+digest+`"` {
			t.Errorf("ETag %q: the object storage has one of its own", etag)
		}
		signature := response.Request.URL.Query().Get("X-Amz-Signature")
		if !slices.Contains(c.h.Secrets(), signature) {
			t.Error("the signature is not among the secrets")
		}
		head := locate(http.MethodHead)
		for name, ask := range map[string]struct {
			method, location string
			header           http.Header
			status           int
		}{
			"HEAD by the URL of a GET": {http.MethodHead, location, nil, 403},
			"HEAD by its own URL":      {http.MethodHead, head, nil, 200},
			"with credentials beside":  {http.MethodGet, location, c.bearer(Puller, appPull), 400},
			"with another path":        {http.MethodGet, c.server.StorageURL + "/harbor/team-b/secret/blobs/" + digest + "?" + response.Request.URL.RawQuery, nil, 403},
		} {
			if response, _, err := c.do(ask.method, ask.location, ask.header); err != nil || response.StatusCode != ask.status {
				t.Errorf("%s: %+v, %v, want %d", name, response, err, ask.status)
			}
		}
		time.Sleep(61 * time.Second)
		if got := c.status(location, nil); got != http.StatusForbidden {
			t.Errorf("expired URL: %d", got)
		}
		if n := c.h.Count(func(r Request) bool { return r.Host == "storage.test" }); n != 6 {
			t.Errorf("%d requests at the object storage are in the log, want 6", n)
		}
		if got := c.status("/v2/team-a/app/blobs/"+digest, nil); got != http.StatusUnauthorized {
			t.Errorf("a blob without credentials: %d, only good answers are redirected", got)
		}
	})
}
