package doctor_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"breakwater/internal/doctor"
	"breakwater/internal/harbortest"
	"breakwater/internal/redact"
	"breakwater/proxy/upstream"
	"breakwater/tokencache"

	"go.uber.org/zap"
)

// world is one upstream, and what the doctor is told of it.
type world struct {
	harbor   *harbortest.Harbor
	url      string
	account  string
	password string
	tls      *tls.Config
	tokenURL string
	realms   []string

	storage   string // URL of the Harbor's object storage
	redirects []netip.Prefix
	proxy     string // URL of an egress proxy
	served    func(string) bool
	ctx       context.Context // nil: the test's
}

// newHarbor starts a seeded Harbor.
func newHarbor(t *testing.T) *world {
	t.Helper()
	w := &world{harbor: seeded(t)}
	server, err := w.harbor.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	w.url, w.storage = server.URL, server.StorageURL
	w.as(harbortest.Puller)
	return w
}

// behind serves a seeded Harbor through a handler that may answer in its place.
func behind(t *testing.T, instead func(http.ResponseWriter, *http.Request) bool) *world {
	t.Helper()
	w := &world{harbor: seeded(t)}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !instead(rw, r) {
			w.harbor.ServeHTTP(rw, r)
		}
	}))
	t.Cleanup(server.Close)
	w.url = server.URL
	w.as(harbortest.Puller)
	return w
}

func seeded(t *testing.T) *harbortest.Harbor {
	t.Helper()
	h := harbortest.New()
	if err := harbortest.Seed(h); err != nil {
		t.Fatal(err)
	}
	h.SetLoginDelay(0)
	return h
}

func (w *world) as(account string) {
	w.account, w.password = account, harbortest.Password(account)
}

// seen is what the doctor printed.
type seen struct {
	*testing.T
	text string
	fine bool
}

// check has the doctor look at the world.
func (w *world) check(t *testing.T, repositories ...string) seen {
	t.Helper()
	target := parse(t, w.url)
	var tokenURL *url.URL
	if w.tokenURL != "" {
		tokenURL = parse(t, w.tokenURL)
	}
	var realms []*url.URL
	for _, realm := range w.realms {
		realms = append(realms, parse(t, realm))
	}
	var egress *url.URL
	if w.proxy != "" {
		egress = parse(t, w.proxy)
	}
	proxy := http.ProxyURL(egress)
	client, err := upstream.New(upstream.Options{
		Name: "harbor", URL: target, TokenURL: tokenURL, Realms: realms, TLS: w.tls, Redirects: w.redirects, Proxy: proxy,
		Credentials: func() (tokencache.Credentials, error) {
			return tokencache.Credentials{Username: w.account, Password: redact.Secret(w.password)}, nil
		},
		Events: unheard{}, Log: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := w.ctx
	if ctx == nil {
		ctx = t.Context()
	}
	var out bytes.Buffer
	report := doctor.NewReport(&out)
	doctor.Check(ctx, report, doctor.Upstream{
		Name: "harbor", URL: target, Account: w.account, TokenURL: tokenURL, Client: client, Proxy: proxy, TLS: w.tls,
		UserAgent: "breakwater/test", Repositories: repositories, Served: w.served,
	})
	fine, err := report.Close()
	if err != nil {
		t.Error(err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	w.nothingSecret(t, out.String())
	return seen{t, w.stable(out.String()), fine}
}

// nothingSecret looks for every password and token that there was.
func (w *world) nothingSecret(t *testing.T, text string) {
	t.Helper()
	if w.password != "" && strings.Contains(text, w.password) {
		t.Errorf("the password is printed:\n%s", text)
	}
	if w.harbor == nil {
		return
	}
	for _, secret := range w.harbor.Secrets() {
		if secret != "" && strings.Contains(text, secret) {
			t.Errorf("a secret is printed:\n%s", text)
		}
	}
}

var (
	durations = regexp.MustCompile(`\b(\d+ ms|\d+\.\d s)\b`)
	digests   = regexp.MustCompile(`sha256:[0-9a-f]{64}`)
	days      = regexp.MustCompile(`\d{4}-\d\d-\d\d`)
)

// stable replaces what differs from run to run.
func (w *world) stable(text string) string {
	u, err := url.Parse(w.url)
	if err == nil && u.Host != "" {
		text = strings.ReplaceAll(text, u.Host, "HOST")
	}
	text = durations.ReplaceAllString(text, "TIME")
	text = digests.ReplaceAllString(text, "DIGEST")
	return days.ReplaceAllString(text, "DATE")
}

// is compares all that was printed.
func (s seen) is(want string) {
	s.Helper()
	if strings.TrimSpace(s.text) != strings.TrimSpace(want) {
		s.Errorf("printed:\n%s\nwant:\n%s", s.text, want)
	}
}

// has wants each line, in that order.
func (s seen) has(lines ...string) {
	s.Helper()
	rest := s.text
	for _, line := range lines {
		_, after, found := strings.Cut(rest, line)
		if !found {
			s.Errorf("no line %q, in that order, in:\n%s", line, s.text)
			return
		}
		rest = after
	}
}

func (s seen) hasNot(text string) {
	s.Helper()
	if strings.Contains(s.text, text) {
		s.Errorf("%q is in:\n%s", text, s.text)
	}
}

func (s seen) isFine(want bool) {
	s.Helper()
	if s.fine != want {
		s.Errorf("fine is %t in:\n%s", s.fine, s.text)
	}
}

func parse(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func trusting(t *testing.T, authority []byte) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		t.Fatal("no certificate in PEM form")
	}
	return &tls.Config{RootCAs: pool}
}

type unheard struct{}

func (unheard) UpstreamAnswered(string, string, int, time.Duration) {}
func (unheard) TokenExchanged(string, string, time.Duration)        {}
func (unheard) CredentialChanged(string, string)                    {}
