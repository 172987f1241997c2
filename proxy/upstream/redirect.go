package upstream

import (
	"errors"
	"net/http"
	"net/url"

	"breakwater/internal/redact"
	"breakwater/proxy/registry"
	"breakwater/tokencache"
)

// maxHops is how many redirects are followed for one request.
const maxHops = 3

// follow turns a redirect into the answer that stands at its end. Within
// upstream's own origin (Docker Hub projects redirect "name" to "library/name")
// the request goes on as it is. A blob may lead elsewhere, to the storage: from
// there on nothing of ours is sent but Range and Accept-Encoding, and nothing
// leads back.
func (c *Client) follow(req *http.Request, kind registry.Kind, resp *http.Response) (*http.Response, error) {
	at, elsewhere := req.URL, false
	for hop := 0; redirects(resp); hop++ {
		location, err := resp.Location() // relative to resp.Request, RFC 9110 §10.2.2
		Drop(resp)
		if err != nil {
			return nil, &RedirectError{Upstream: c.name, Target: "nowhere", Reason: "its Location cannot be read"}
		}
		refuse := func(reason string) error {
			return &RedirectError{Upstream: c.name, Target: redact.URL(location), Reason: reason}
		}
		switch {
		case hop == maxHops:
			return nil, refuse("too many redirects in a row")
		case location.Scheme != "https" && location.Scheme != "http":
			return nil, refuse("only http and https are followed")
		case at.Scheme == "https" && location.Scheme == "http":
			return nil, refuse("https must not lead to http")
		}
		elsewhere = elsewhere || !tokencache.SameOrigin(location, c.url)
		if elsewhere && kind != registry.KindBlob {
			return nil, refuse("only blobs may come from another host")
		}
		at = location
		if resp, err = c.hop(req, kind, location, elsewhere); err != nil {
			return nil, err
		}
	}
	if elsewhere {
		return c.fromStorage(at, resp)
	}
	return resp, nil
}

func redirects(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

func (c *Client) hop(req *http.Request, kind registry.Kind, to *url.URL, elsewhere bool) (*http.Response, error) {
	next := req.Clone(req.Context())
	to.User = nil // never credentials of somebody else's choice
	next.URL, next.Host = to, to.Host
	if !elsewhere {
		return c.authenticated(kind).RoundTrip(next)
	}
	next.Header = http.Header{
		"Accept-Encoding": {"identity"},
		"User-Agent":      {""}, // an empty value keeps net/http from sending its own
	}
	if asked := req.Header.Get("Range"); asked != "" {
		next.Header.Set("Range", asked)
	}
	resp, err := c.storage(next)
	if err != nil {
		return nil, c.storageFault(to, err)
	}
	return resp, nil
}

// storage sends by the transport without credentials. Through an egress proxy
// the name is resolved there, so only what the name itself tells can be judged.
func (c *Client) storage(req *http.Request) (*http.Response, error) {
	proxy, err := c.proxy(req)
	if err != nil || proxy == nil {
		return c.direct.RoundTrip(req)
	}
	if err := c.guard.name(req.URL.Hostname()); err != nil {
		return nil, refusedDial{err}
	}
	return c.proxied.RoundTrip(req)
}

// refusedDial marks the guard's own errors, which asking again does not mend.
type refusedDial struct{ error }

func (c *Client) storageFault(at *url.URL, err error) error {
	var refused refusedDial
	return &RedirectError{Upstream: c.name, Target: redact.URL(at), Reason: err.Error(), passing: !errors.As(err, &refused)}
}

// fromStorage takes the answers that can be a blob. Anything else, above all
// the 403 of a signature that has expired meanwhile, is a reason to ask
// upstream for another redirect.
func (c *Client) fromStorage(at *url.URL, resp *http.Response) (*http.Response, error) {
	switch resp.StatusCode {
	case http.StatusOK, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable:
		return resp, nil
	}
	Drop(resp)
	return nil, &RedirectError{Upstream: c.name, Target: redact.URL(at), Reason: "answered " + resp.Status, passing: true}
}
