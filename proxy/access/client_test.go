package access

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"breakwater/internal/redact"
)

func TestPresented(t *testing.T) {
	encoded := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	basicOf := func(username, password string) credentials {
		return credentials{username: username, secret: redact.Secret(password)}
	}
	bearerOf := func(token string) credentials { return credentials{secret: redact.Secret(token), bearer: true} }
	for name, test := range map[string]struct {
		fields []string
		want   credentials
		given  bool
		ok     bool
	}{
		"absent":                     {nil, credentials{}, false, true},
		"empty":                      {[]string{""}, credentials{}, false, true},
		"podman's nobody":            {[]string{"Basic Og=="}, credentials{}, false, true},
		"podman's, lower case":       {[]string{"basic Og=="}, credentials{}, false, true},
		"Basic":                      {[]string{"Basic " + encoded("alice:secret")}, basicOf("alice", "secret"), true, true},
		"Basic, lower case":          {[]string{"basic " + encoded("alice:secret")}, basicOf("alice", "secret"), true, true},
		"Basic, colons":              {[]string{"Basic " + encoded("alice:a:b:")}, basicOf("alice", "a:b:"), true, true},
		"Basic, a robot":             {[]string{"Basic " + encoded("robot$ci:secret")}, basicOf("robot$ci", "secret"), true, true},
		"Basic, UTF-8":               {[]string{"Basic " + encoded("jürgen:pä:ß")}, basicOf("jürgen", "pä:ß"), true, true},
		"Basic, no password":         {[]string{"Basic " + encoded("alice:")}, basicOf("alice", ""), true, true},
		"Basic, no user name":        {[]string{"Basic " + encoded(":secret")}, basicOf("", "secret"), true, true},
		"Basic, no colon":            {[]string{"Basic " + encoded("alice")}, credentials{}, true, false},
		"Basic, not base64":          {[]string{"Basic !!!"}, credentials{}, true, false},
		"Basic, base64 of URLs":      {[]string{"Basic Pz8_OmE_"}, credentials{}, true, false},
		"Basic, nothing":             {[]string{"Basic"}, credentials{}, true, false},
		"Basic, nothing but a space": {[]string{"Basic "}, credentials{}, true, false},
		"Bearer":                     {[]string{"Bearer a.b.c"}, bearerOf("a.b.c"), true, true},
		"Bearer, lower case":         {[]string{"bearer a.b.c"}, bearerOf("a.b.c"), true, true},
		"Bearer, upper case":         {[]string{"BEARER a.b.c"}, bearerOf("a.b.c"), true, true},
		"Bearer, two spaces":         {[]string{"Bearer  a.b.c"}, bearerOf("a.b.c"), true, true},
		"Bearer, nothing":            {[]string{"Bearer"}, credentials{}, true, false},
		"Bearer, spaces":             {[]string{"Bearer   "}, credentials{}, true, false},
		"Bearers":                    {[]string{"Bearers a.b.c"}, credentials{}, true, false},
		"Bearer, a tab":              {[]string{"Bearer\ta.b.c"}, credentials{}, true, false},
		"another scheme":             {[]string{"Negotiate abc"}, credentials{}, true, false},
		"only a token":               {[]string{"a.b.c"}, credentials{}, true, false},
		"garbage":                    {[]string{"\x01\xff"}, credentials{}, true, false},
		"two fields":                 {[]string{"Bearer a", "Bearer a"}, credentials{}, true, false},
		"two fields, one empty":      {[]string{"", "Basic " + encoded("alice:secret")}, credentials{}, true, false},
		"two empty fields":           {[]string{"", ""}, credentials{}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
			if test.fields != nil {
				r.Header["Authorization"] = test.fields
			}
			got, given, ok := presented(r)
			if got != test.want || given != test.given || ok != test.ok {
				t.Errorf("%q %q bearer %v, given %v, ok %v", got.username, got.secret.Reveal(), got.bearer, given, ok)
			}
		})
	}
}

func FuzzPresented(f *testing.F) {
	for _, field := range []string{"", "Basic Og==", "Basic YTpi", "Bearer a.b.c", "bearer  x", "Basic", "\x00"} {
		f.Add(field)
	}
	f.Fuzz(func(t *testing.T, field string) {
		r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
		r.Header["Authorization"] = []string{field}
		c, given, ok := presented(r)
		switch {
		case !(ok && given) && c != (credentials{}):
			t.Errorf("%q: credentials although there are none that can be read", field)
		case ok && given && c.username == "" && c.secret == "":
			t.Errorf("%q: nobody's credentials", field)
		case !ok && !given:
			t.Errorf("%q: nothing was given, but it cannot be read", field)
		case c.bearer && (c.secret == "" || c.username != ""):
			t.Errorf("%q: an empty token, or one with a user name", field)
		}
	})
}

func TestAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:1000":            "192.0.2.1",
		"[::ffff:192.0.2.1]:1000":   "192.0.2.1",
		"[2001:db8::1]:1000":        "2001:db8::1",
		"[fe80::1%eth0]:1000":       "fe80::1",
		"[::ffff:192.0.2.1%eth0]:1": "192.0.2.1",
		"pipe":                      "invalid IP",
		"@":                         "invalid IP",
		"":                          "invalid IP",
		"192.0.2.1":                 "invalid IP",
	} {
		if got := address(&http.Request{RemoteAddr: remote}); got.String() != want {
			t.Errorf("%s comes from %s, want %s", remote, got, want)
		}
	}
}

func TestNeighbourhood(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.1":             "192.0.2.1/32",
		"2001:db8:1:2:3:4:5:6":  "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::":   "2001:db8:1:2::/64",
		"fe80::1":               "fe80::/64",
		"::1":                   "::/64",
		"2001:db8:1:3::abc:def": "2001:db8:1:3::/64",
	} {
		if got := neighbourhood(netip.MustParseAddr(from)); got.String() != want {
			t.Errorf("%s is of %s, want %s", from, got, want)
		}
	}
	if got := neighbourhood(netip.Addr{}); got.IsValid() {
		t.Errorf("who has no address is of %s", got)
	}
}
