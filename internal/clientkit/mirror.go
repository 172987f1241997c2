package clientkit

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Mirror is one listener, as clients reach it.
type Mirror struct {
	URL     *url.URL // scheme, host and port only; see [ParseURL]
	Access  Access
	Default string  // the route of names without a registry; "" where there is none
	Routes  []Route // in the order in which they are to be written

	// Files on the client's machine; "" where there is none.
	CA   string // the authority of the listener's certificate
	Cert string // what the client shows of itself, with Key
	Key  string

	// NoFallback keeps a client from asking the registry itself when Breakwater has no
	// answer. Not every client can be kept.
	NoFallback bool
	// EveryRegistry has containerd ask Breakwater about registries without a route too,
	// as long as they have no folder of their own.
	EveryRegistry bool
}

// Route is a registry that clients name.
type Route struct {
	Name   string // as they write it: docker.io, harbor.example.com:8443
	Path   string // the same as a path's first component: harbor.example.com_8443
	Origin string // where clients find the registry itself: https://registry-1.docker.io
}

// Access is how clients say who they are.
type Access int

const (
	Anonymous   Access = iota // not at all
	Login                     // by user name and password
	Token                     // by a token, as the password of any user name
	Certificate               // by a certificate of their own
)

// Snippet is what one client is told.
type Snippet struct {
	Files   []File
	Remarks []string // what its reader has to know, some of several lines
	Gaps    []string // what has to be filled in by hand before it works
}

// File is one file of a client's configuration.
type File struct {
	Path string // absolute, or below containerd's certs.d
	Text string
}

// dockerHub is the one registry that Docker has mirrors for.
const dockerHub = "docker.io"

// usualPort is the port of a scheme, which a URL need not write.
var usualPort = map[string]string{"http": "80", "https": "443"}

// ParseURL reads the address at which clients reach Breakwater.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, fmt.Errorf("is not a URL: write http:// or https://, and the host and port that clients reach, such as https://registry.example.com:5443")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return nil, fmt.Errorf("holds more than scheme, host and port: the rest is added as each client needs it")
	}
	host := strings.ToLower(strings.TrimSuffix(u.Host, ":"))
	return &url.URL{Scheme: u.Scheme, Host: strings.TrimSuffix(host, ":"+usualPort[u.Scheme])}, nil
}

// host is the address as images' names begin with it. What has neither dot nor port
// would be taken for a repository of Docker Hub, so it gets its port.
func (m Mirror) host() string {
	name := m.URL.Hostname()
	if m.URL.Port() != "" || strings.ContainsAny(name, ".:") || name == "localhost" {
		return m.URL.Host
	}
	return name + ":" + usualPort[m.URL.Scheme]
}

func (m Mirror) plain() bool { return m.URL.Scheme == "http" }

// loopback tells whether Docker takes the address as trusted without being told:
// 127.0.0.0/8, whatever answers there.
func (m Mirror) loopback() bool {
	ip, err := netip.ParseAddr(m.URL.Hostname())
	return m.URL.Hostname() == "localhost" || err == nil && ip.Is4() && ip.IsLoopback()
}

// mirrored are the routes that a client has to be told of: all but one that has
// Breakwater's own address for a name.
func (m Mirror) mirrored() []Route {
	return slices.DeleteFunc(slices.Clone(m.Routes), func(r Route) bool { return r.Name == m.URL.Host })
}

// own tells of a route with that name.
func (m Mirror) own() []string {
	if !m.opens(m.URL.Host) {
		return nil
	}
	usual := m.Default
	if usual == "" {
		usual = "no registry"
	}
	return []string{fmt.Sprintf("Nothing is written for %s: by that name clients reach Breakwater as it is, and it takes their images for those of %s.", m.URL.Host, usual)}
}

// opens tells whether there is a route of that name.
func (m Mirror) opens(name string) bool {
	return slices.ContainsFunc(m.Routes, func(r Route) bool { return r.Name == name })
}
