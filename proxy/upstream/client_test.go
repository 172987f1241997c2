package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/internal/harbortest"
	"breakwater/internal/redact"
	"breakwater/proxy/registry"
	"breakwater/tokencache"

	"go.uber.org/zap"
)

type deaf struct{}

func (deaf) UpstreamAnswered(string, string, int, time.Duration) {}
func (deaf) TokenExchanged(string, string, time.Duration)        {}
func (deaf) CredentialChanged(string, string)                    {}

func client(t *testing.T, origin string, change func(*Options)) *Client {
	t.Helper()
	target, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Name: "harbor", URL: target, Events: deaf{}, Log: zap.NewNop(),
		Credentials: func() (tokencache.Credentials, error) {
			return tokencache.Credentials{Username: harbortest.Puller, Password: redact.Secret(harbortest.Password(harbortest.Puller))}, nil
		},
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
	}
	if change != nil {
		change(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// read sends one GET and returns status and body.
func read(ctx context.Context, c *Client, request string) (int, string, error) {
	asked, err := url.Parse(request)
	if err != nil {
		return 0, "", err
	}
	r, err := registry.Parse(http.MethodGet, asked)
	if err != nil {
		return 0, "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url.ResolveReference(r.URL()).String(), nil)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Accept", registry.ManifestTypes)
	resp, err := c.Reading(r).RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// inMemory is a seeded Harbor and a client of it, for use in a bubble of fake
// time. ends closes both.
func inMemory(t *testing.T) (h *harbortest.Harbor, c *Client, ends func()) {
	t.Helper()
	h = harbortest.New()
	if err := harbortest.Seed(h); err != nil {
		t.Fatal(err)
	}
	server := h.StartInMemory()
	c = client(t, server.URL, nil)
	for _, way := range []named{c.control, c.bodies} {
		way.current.Store(server.Transport())
	}
	return h, c, func() {
		if err := errors.Join(c.Close(), server.Close()); err != nil {
			t.Error(err)
		}
	}
}

const app = "/v2/team-a/app/manifests/1.0"

// One fault of the token service, which begins a back-off, is waited out.
func TestTokenServiceFaultIsBridged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, c, ends := inMemory(t)
		defer ends()
		h.AddFault(harbortest.Fault{Match: harbortest.Tokens, Status: http.StatusServiceUnavailable, Times: 1})
		if status, _, err := read(t.Context(), c, app); err != nil || status != http.StatusOK {
			t.Errorf("%d, %v", status, err)
		}
		h.RevokeTokens()
		h.SetDown(harbortest.TokenService, true)
		for range 10 { // an outage, however, is told at once when it is known
			_, _, _ = read(t.Context(), c, app)
		}
		began := time.Now()
		if _, _, err := read(t.Context(), c, app); !errors.As(err, new(*tokencache.UnavailableError)) {
			t.Error(err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("a known outage was waited for: %s", took)
		}
	})
}

// A body that moves has no limit; one that stands still is given up.
func TestBodyMayBeSlowButNotStill(t *testing.T) {
	for name, c := range map[string]struct {
		stall time.Duration
		fails bool
	}{"slow": {BodyIdle - time.Second, false}, "still": {BodyIdle + time.Second, true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, client, ends := inMemory(t)
				defer ends()
				h.AddFault(harbortest.Fault{Match: harbortest.Manifests, After: 10, Stall: c.stall})
				_, body, err := read(t.Context(), client, app)
				if c.fails != (err != nil) {
					t.Errorf("%q, %v", body, err)
				}
				if c.fails && !errors.As(err, new(stalledError)) {
					t.Errorf("the error does not say that the body stood still: %v", err)
				}
			})
		})
	}
}

func TestReloadedAuthorityIsUsed(t *testing.T) {
	h := harbortest.New()
	if err := harbortest.Seed(h); err != nil {
		t.Fatal(err)
	}
	server, err := h.StartTLS("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	c := client(t, server.URL, nil)
	defer func() { _ = c.Close() }()

	_, _, err = read(t.Context(), c, app)
	if err == nil || !strings.Contains(err.Error(), "ca_file") {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(server.CA)
	c.SetTLS(&tls.Config{RootCAs: pool})
	if status, _, err := read(t.Context(), c, app); err != nil || status != http.StatusOK {
		t.Errorf("with the authority: %d, %v", status, err)
	}
}

func TestClientCertificateIsNotShownToTheStorage(t *testing.T) {
	settings := withoutCertificate(&tls.Config{Certificates: []tls.Certificate{{}}, ServerName: "x",
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return nil, nil }})
	if settings.Certificates != nil || settings.GetClientCertificate != nil || settings.ServerName != "x" {
		t.Errorf("%+v", settings)
	}
}

func TestRedirects(t *testing.T) {
	const blob = "/v2/a/blobs/sha256:0000000000000000000000000000000000000000000000000000000000000000"
	storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/back":
			http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
		case "/forbidden":
			w.WriteHeader(http.StatusForbidden)
		default:
			_, _ = io.WriteString(w, "from storage, Authorization: "+r.Header.Get("Authorization"))
		}
	}))
	defer storage.Close()
	var leadsTo string
	asked := 0
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v2/":
		case strings.HasPrefix(r.URL.Path, "/v2/library/"):
			_, _ = io.WriteString(w, "from library")
		default:
			asked++
			http.Redirect(w, r, leadsTo, http.StatusTemporaryRedirect)
		}
	}))
	defer origin.Close()
	allowed := func(o *Options) { o.Redirects = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

	for name, test := range map[string]struct {
		request, to string
		change      func(*Options)
		want        string // body, or part of the error
		fails       bool
	}{
		"to the storage":             {blob, storage.URL + "/x?signature=secret", allowed, "from storage, Authorization: ", false},
		"with somebody's password":   {blob, strings.Replace(storage.URL, "//", "//user:secret@", 1), allowed, "from storage, Authorization: ", false},
		"to a network not listed":    {blob, storage.URL + "/x?signature=secret", nil, "private address 127.0.0.1", true},
		"within upstream":            {"/v2/hub/x/manifests/1", "/v2/library/x/manifests/1", nil, "from library", false},
		"a manifest elsewhere":       {"/v2/hub/x/manifests/1", storage.URL, allowed, "only blobs may come from another host", true},
		"from the storage to Harbor": {blob, storage.URL + "/back?to=" + url.QueryEscape(origin.URL+"/v2/library/secret"), allowed, "from library", false},
		"to the storage's refusal":   {blob, storage.URL + "/forbidden?signature=secret", allowed, "403", true},
		"in a circle":                {blob, blob, nil, "too many redirects", true},
		"to a file":                  {blob, "file:///etc/passwd", allowed, "only http and https", true},
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			leadsTo = test.to
			c := client(t, origin.URL, test.change)
			defer func() { _ = c.Close() }()
			_, body, err := read(t.Context(), c, test.request)
			if test.fails {
				var redirect *RedirectError
				if !errors.As(err, &redirect) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || body != test.want {
				t.Errorf("%q, %v", body, err)
			}
		})
	}
}

// https does not lead to http, whoever says so.
func TestRedirectDoesNotDowngrade(t *testing.T) {
	origin := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			http.Redirect(w, r, "http://93.184.216.34/x", http.StatusTemporaryRedirect)
		}
	}))
	defer origin.Close()
	c := client(t, origin.URL, func(o *Options) { o.TLS = origin.Client().Transport.(*http.Transport).TLSClientConfig })
	defer func() { _ = c.Close() }()
	_, _, err := read(t.Context(), c, "/v2/a/blobs/sha256:"+strings.Repeat("0", 64))
	if err == nil || !strings.Contains(err.Error(), "https must not lead to http") {
		t.Error(err)
	}
}

// Through an egress proxy the names are resolved there; a literal address is
// still looked at here.
func TestRedirectThroughAnEgressProxy(t *testing.T) {
	var leadsTo string
	reached := ""
	egress := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Host != "harbor.test":
			reached = r.URL.String()
			_, _ = io.WriteString(w, "from storage")
		case r.URL.Path != "/v2/":
			http.Redirect(w, r, leadsTo, http.StatusTemporaryRedirect)
		}
	}))
	defer egress.Close()
	c := client(t, "http://harbor.test", func(o *Options) {
		o.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(egress.URL) }
	})
	defer func() { _ = c.Close() }()
	blob := "/v2/a/blobs/sha256:" + strings.Repeat("0", 64)

	leadsTo = "http://storage.test/x"
	if _, body, err := read(t.Context(), c, blob); err != nil || body != "from storage" {
		t.Errorf("%q, %v", body, err)
	}
	leadsTo, reached = "http://169.254.169.254/x", ""
	if _, _, err := read(t.Context(), c, blob); err == nil || reached != "" {
		t.Errorf("%v; reached %q", err, reached)
	}
}

func TestHealth(t *testing.T) {
	for page, want := range map[string]string{
		`{"components":[{"name":"database","status":"healthy"},{"name":"portal","status":"unhealthy"}],"status":"unhealthy"}`: "",
		`{"components":[{"name":"database","status":"unhealthy","error":"secret insides"}]}`:                                  "Harbor's database is unhealthy",
		`{"components":[{"name":"core","status":"unhealthy"}]}`:                                                               "Harbor's core is unhealthy",
		`<html>`:    "",
		`{}`:        "",
		`503`:       "its health page answers 503",
		`404`:       "",
		`[1, 2, 3]`: "",
	} {
		origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/api/v2.0/health" || r.Header.Get("Authorization") != "" {
				t.Errorf("asked %s with %q", r.URL.Path, r.Header.Get("Authorization"))
			}
			switch page {
			case "503":
				w.WriteHeader(http.StatusServiceUnavailable)
			case "404":
				w.WriteHeader(http.StatusNotFound)
			default:
				_, _ = io.WriteString(w, page)
			}
		}))
		c := client(t, origin.URL, nil)
		err := c.Health(t.Context())
		if got := ""; err != nil {
			got = err.Error()
			if !strings.Contains(got, want) || want == "" || strings.Contains(got, "secret") {
				t.Errorf("%s: %v", page, err)
			}
		} else if want != "" {
			t.Errorf("%s: no error, want %q", page, want)
		}
		_ = c.Close()
		origin.Close()
	}
}

// A peer that went away without a word, as a machine or a firewall does, costs
// one pull some seconds, and not every pull until TCP gives up.
func TestDeadConnectionIsNoticed(t *testing.T) {
	h := harbortest.New()
	if err := harbortest.Seed(h); err != nil {
		t.Fatal(err)
	}
	origin := httptest.NewUnstartedServer(h)
	origin.EnableHTTP2 = true
	origin.StartTLS()
	defer origin.Close()
	front := newFront(t, origin.Listener.Addr().String())
	c := client(t, "https://"+front.address(), func(o *Options) { o.TLS = &tls.Config{InsecureSkipVerify: true} })
	defer func() { _ = c.Close() }()
	if _, _, err := read(t.Context(), c, app); err != nil {
		t.Fatal(err)
	}
	front.freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
	defer cancel()
	if status, _, err := read(ctx, c, app); err != nil || status != http.StatusOK {
		t.Errorf("%d, %v", status, err)
	}
}

// front forwards TCP connections until those that are open are frozen.
type front struct {
	net.Listener
	mu     sync.Mutex
	frozen chan struct{} // closed for the connections that forward nothing any more
}

func newFront(t *testing.T, to string) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{Listener: l, frozen: make(chan struct{})}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			f.mu.Lock()
			frozen := f.frozen
			f.mu.Unlock()
			t.Cleanup(func() { _, _ = in.Close(), out.Close() })
			go forward(in, out, frozen)
			go forward(out, in, frozen)
		}
	}()
	return f
}

func (f *front) address() string { return f.Addr().String() }

func (f *front) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.frozen)
	f.frozen = make(chan struct{})
}

func forward(to io.Writer, from io.Reader, frozen chan struct{}) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		select {
		case <-frozen:
			return // without closing either end
		default:
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// Upper case and a default port make no other host of upstream's own.
func TestOwnOriginIsRecognised(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v2/":
		case strings.HasPrefix(r.URL.Path, "/v2/library/"):
			_, _ = io.WriteString(w, "from library")
		default:
			_, port, _ := net.SplitHostPort(r.Host)
			http.Redirect(w, r, "HTTP://LOCALHOST:"+port+"/v2/library/x/manifests/1", http.StatusMovedPermanently)
		}
	}))
	defer origin.Close()
	_, port, _ := net.SplitHostPort(origin.Listener.Addr().String())
	c := client(t, "http://localhost:"+port, nil)
	defer func() { _ = c.Close() }()
	if _, body, err := read(t.Context(), c, "/v2/x/manifests/1"); err != nil || body != "from library" {
		t.Errorf("%q, %v", body, err)
	}
}

// A 101 whose connection stays open ends at once, for a pull and for a question
// of our own.
func TestSwitchingProtocolsIsRefused(t *testing.T) {
	for _, path := range []string{"/v2/", "/v2/a/manifests/1"} {
		origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path {
				return
			}
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: evil\r\n\r\n")
		}))
		c := client(t, origin.URL, nil)
		if _, _, err := read(t.Context(), c, "/v2/a/manifests/1"); err == nil || !strings.Contains(err.Error(), "switch protocols") {
			t.Errorf("%s: %v", path, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		origin.Close()
	}
}
