package tokencache_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"breakwater/tokencache"
)

// A sniffer stands for every host there is and notes who was sent credentials.
type sniffer struct {
	mu       sync.Mutex // guards trusted
	realm    string
	registry string
	trusted  []string
}

func (s *sniffer) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if req.Header.Get("Authorization") != "" {
		s.trusted = append(s.trusted, req.URL.Scheme+"://"+req.URL.Host)
	}
	resp := &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody, Request: req}
	switch {
	case req.URL.Path == "/v2/":
		resp.StatusCode = 401
		resp.Header.Set("Www-Authenticate", `Bearer realm="`+s.realm+`",service="harbor-registry"`)
	default: // refuses, so that only one exchange is made
		resp.StatusCode = 401
	}
	return resp, nil
}

func TestCredentialsGoToOnePlace(t *testing.T) {
	for name, test := range map[string]struct {
		registry, realm, tokenURL, listed string
		sent                              string // where credentials went; empty: nowhere
	}{
		"own origin":             {registry: "https://harbor.test", realm: "https://harbor.test/service/token", sent: "https://harbor.test"},
		"own, port written out":  {registry: "https://harbor.test", realm: "https://HARBOR.test:443/service/token", sent: "https://HARBOR.test:443"},
		"own, other port":        {registry: "http://harbor.test:8080", realm: "http://harbor.test:8080/service/token", sent: "http://harbor.test:8080"},
		"another port":           {registry: "https://harbor.test", realm: "https://harbor.test:8443/service/token"},
		"another host":           {registry: "https://harbor.test", realm: "https://evil.test/service/token"},
		"a longer host":          {registry: "https://harbor.test", realm: "https://harbor.test.evil.test/service/token"},
		"downgrade":              {registry: "https://harbor.test", realm: "http://harbor.test/service/token"},
		"downgrade, same port":   {registry: "https://harbor.test", realm: "http://harbor.test:443/service/token"},
		"TLS ends before Harbor": {registry: "http://harbor.internal", realm: "https://harbor.internal/service/token"},
		"user in the realm":      {registry: "https://harbor.test", realm: "https://evil@harbor.test/service/token"},
		"host in the user part":  {registry: "https://harbor.test", realm: "https://harbor.test@evil.test/service/token"},
		"relative":               {registry: "https://harbor.test", realm: "/service/token"},
		"no realm":               {registry: "https://harbor.test", realm: ""},
		"not a URL":              {registry: "https://harbor.test", realm: "https://harbor.test:port/"},
		"another scheme":         {registry: "https://harbor.test", realm: "file:///etc/passwd"},
		"listed":                 {registry: "https://harbor.test", realm: "https://auth.test/token", listed: "https://auth.test", sent: "https://auth.test"},
		"listed, another path":   {registry: "https://harbor.test", realm: "https://auth.test/a?b=c", listed: "https://auth.test/token", sent: "https://auth.test"},
		"listed, another port":   {registry: "https://harbor.test", realm: "https://auth.test:1/token", listed: "https://auth.test"},
		"token_url":              {registry: "http://harbor.internal", realm: "https://harbor.test/service/token", tokenURL: "http://harbor.internal/service/token", sent: "http://harbor.internal"},
		"token_url, evil realm":  {registry: "https://harbor.test", realm: "https://evil.test/", tokenURL: "https://harbor.test/service/token", sent: "https://harbor.test"},
	} {
		t.Run(name, func(t *testing.T) {
			hosts := &sniffer{realm: test.realm, registry: test.registry}
			options := tokencache.Options{
				Registry: parse(test.registry), Transport: hosts,
				Credentials: func() (tokencache.Credentials, error) {
					return tokencache.Credentials{Username: robot, Password: secret}, nil
				},
			}
			if test.tokenURL != "" {
				options.TokenURL = parse(test.tokenURL)
			}
			if test.listed != "" {
				options.Realms = []*url.URL{parse(test.listed)}
			}
			cache, err := tokencache.New(options)
			if err != nil {
				t.Fatal(err)
			}
			defer cache.Close()
			_, err = cache.Grant(t.Context(), scope("repository:team-a/app:pull"))
			if test.sent != "" {
				equal(t, "credentials went to", hosts.trusted, []string{test.sent})
				return
			}
			equal(t, "credentials went to", hosts.trusted, nil)
			realm, ok := err.(*tokencache.RealmError)
			if !ok {
				t.Fatalf("error %v (%T), want a *RealmError", err, err)
			}
			for _, want := range []string{"token_url", "realms", test.registry + "/service/token"} {
				if !strings.Contains(realm.Error(), want) {
					t.Errorf("error %q does not say %q", realm, want)
				}
			}
		})
	}
}

// An operator mends the external URL of Harbor: no restart is needed here.
func TestMendedRealmIsNoticed(t *testing.T) {
	bubble(t, func(t *testing.T, c *client) {
		c.set(func(u *upstream) {
			u.challenge = []string{`Bearer realm="https://harbor.test/service/token",service="harbor-registry"`}
		})
		fails[*tokencache.RealmError](t, c, app)
		c.requests()
		fails[*tokencache.RealmError](t, c, app)
		equal(t, "under back-off", c.requests(), nil)
		c.set(func(u *upstream) { u.challenge = nil })
		wait(2)
		c.ok(t, app)
	})
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for name, change := range map[string]func(*tokencache.Options){
		"no registry":           func(o *tokencache.Options) { o.Registry = nil },
		"registry without host": func(o *tokencache.Options) { o.Registry = parse("https:///v2") },
		"registry with user":    func(o *tokencache.Options) { o.Registry = parse("https://u:p@harbor.test") },
		"registry, scheme":      func(o *tokencache.Options) { o.Registry = parse("ftp://harbor.test") },
		"token URL, relative":   func(o *tokencache.Options) { o.TokenURL = parse("/service/token") },
		"realm, scheme":         func(o *tokencache.Options) { o.Realms = []*url.URL{parse("harbor.test:443")} },
		"no transport":          func(o *tokencache.Options) { o.Transport = nil },
	} {
		t.Run(name, func(t *testing.T) {
			options := tokencache.Options{Registry: parse("https://harbor.test"), Transport: newUpstream()}
			change(&options)
			if _, err := tokencache.New(options); err == nil {
				t.Error("want an error")
			} else if strings.Contains(err.Error(), "u:p") {
				t.Errorf("%v prints the user information", err)
			}
		})
	}
}
