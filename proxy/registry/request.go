package registry

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Request is one request of a registry's client, as a value.
type Request struct {
	Kind   Kind
	Method string

	// Prefix is the one segment before /v2/ with which some mirrors' clients name the
	// registry that they mean: /quay.io/v2/…. Like NS it is never sent upstream.
	Prefix string
	// Name is the repository; empty for [KindBase] and [KindCatalog].
	Name string
	// Tag or Digest, never both, is a manifest's reference; Digest also names a
	// blob, or the subject of referrers.
	Tag    string
	Digest digest.Digest

	// NS is the registry that a mirror's client means ("docker.io"), from the
	// query parameter ns. It is never sent upstream.
	NS string
	// N and Last page a list: at most N entries (empty: upstream's choice),
	// after the entry Last.
	N, Last string
	// ArtifactType filters referrers.
	ArtifactType string
}

// Reference is the tag or digest as the client wrote it.
func (r Request) Reference() string {
	if r.Digest != "" {
		return r.Digest.String()
	}
	return r.Tag
}

// Parse reads a request line. It refuses, always with an *[Error]: any
// percent-encoding in the path, empty or dot segments, names, tags and digests
// outside the spec's grammar, unknown or repeated query parameters. Of a write
// ([Kind.Reads] is false) only kind, method and name are read.
func Parse(method string, u *url.URL) (Request, error) {
	prefix, path := cutPrefix(u.EscapedPath())
	kind, name, reference, err := parsePath(path)
	if err != nil {
		return Request{}, err
	}
	r := Request{Kind: kind.of(method), Method: method, Prefix: prefix, Name: name}
	if kind != KindBase && kind != KindCatalog && !ValidName(name) {
		return Request{}, Errorf(http.StatusBadRequest, CodeNameInvalid,
			"%s is not a repository name: lower-case letters, digits, single separators, at most %d characters", quote(name), MaxName)
	}
	if !r.Kind.Reads() {
		return r, nil
	}
	if err := r.setReference(reference); err != nil {
		return Request{}, err
	}
	if err := r.setQuery(u.RawQuery); err != nil {
		return Request{}, err
	}
	return r, nil
}

// cutPrefix takes off a segment before /v2/ that could be a name's first component.
func cutPrefix(path string) (prefix, rest string) {
	prefix, rest, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !ok || prefix == "v2" || !ValidName(prefix) || rest != "v2" && !strings.HasPrefix(rest, "v2/") {
		return "", path
	}
	return prefix, "/" + rest
}

// parsePath finds the endpoint from the path's last segments: a repository may
// itself be called a/manifests/b.
func parsePath(path string) (kind Kind, name, reference string, err error) {
	if strings.Contains(path, "%") {
		return 0, "", "", Errorf(http.StatusBadRequest, CodeNameInvalid, "percent-encoding has no place in a registry path: nothing in it needs to be encoded")
	}
	rest, ok := strings.CutPrefix(path, "/v2/")
	switch {
	case !ok:
		return 0, "", "", Errorf(http.StatusNotFound, CodeUnsupported, "%s is not part of the registry API, which begins at /v2/", quote(path))
	case rest == "":
		return KindBase, "", "", nil
	case rest == "_catalog":
		return KindCatalog, "", "", nil
	}

	segments := strings.Split(rest, "/")
	last := len(segments) - 1
	join := func(upTo int) string { return strings.Join(segments[:upTo], "/") }
	if last >= 2 {
		switch segments[last-1] {
		case "manifests":
			return KindManifest, join(last - 1), segments[last], nil
		case "referrers":
			return KindReferrers, join(last - 1), segments[last], nil
		case "tags":
			if segments[last] == "list" {
				return KindTags, join(last - 1), "", nil
			}
		case "blobs":
			if segments[last] == "uploads" {
				return KindUpload, join(last - 1), "", nil
			}
			return KindBlob, join(last - 1), segments[last], nil
		}
	}
	if last >= 3 && segments[last-2] == "blobs" && segments[last-1] == "uploads" {
		return KindUpload, join(last - 2), "", nil
	}
	return 0, "", "", Errorf(http.StatusNotFound, CodeUnsupported, "%s is not an endpoint of the registry API", quote(path))
}

func (r *Request) setReference(reference string) error {
	switch r.Kind {
	case KindManifest:
		if !strings.Contains(reference, ":") {
			if !ValidTag(reference) {
				// 404, not 400: such a tag cannot exist, and the spec's conformance test asks for one.
				return Errorf(http.StatusNotFound, CodeManifestUnknown, "%s is not a tag: no manifest has that name", quote(reference))
			}
			r.Tag = reference
			return nil
		}
	case KindBlob, KindReferrers:
	default:
		return nil
	}
	d, ok := ParseDigest(reference)
	if !ok {
		return Errorf(http.StatusBadRequest, CodeDigestInvalid, "%s is not a digest: sha256: with 64 or sha512: with 128 hexadecimal digits in lower case", quote(reference))
	}
	r.Digest = d
	return nil
}

func (r *Request) setQuery(raw string) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return Errorf(http.StatusBadRequest, CodeUnsupported, "the query string cannot be read: separate parameters with & and percent-encode their values")
	}
	for key, values := range query {
		if key != "ns" && !slices.Contains(r.Kind.queryKeys(), key) {
			return Errorf(http.StatusBadRequest, CodeUnsupported, "unknown query parameter %s for %s", quote(key), r.Kind)
		}
		if len(values) > 1 {
			return Errorf(http.StatusBadRequest, CodeUnsupported, "query parameter %s is given %d times", quote(key), len(values))
		}
		if len(values[0]) > MaxName {
			return Errorf(http.StatusBadRequest, CodeUnsupported, "query parameter %s is longer than %d characters", quote(key), MaxName)
		}
	}
	r.NS, r.N, r.Last = query.Get("ns"), query.Get("n"), query.Get("last")
	// A media type holds no space: one that does was a "+" that the client
	// forgot to encode, and Harbor would match nothing.
	r.ArtifactType = strings.ReplaceAll(query.Get("artifactType"), " ", "+")
	if r.N != "" {
		// ParseUint refuses signs; 31 bits is more than any registry has tags.
		if _, err := strconv.ParseUint(r.N, 10, 31); err != nil {
			return Errorf(http.StatusBadRequest, CodePaginationNumberInvalid, "n is %s: give a whole number, 0 or more", quote(r.N))
		}
	}
	return nil
}

// Here is the inverse of [Parse]: path and query by which a client reads the same
// again.
func (r Request) Here() *url.URL {
	u := r.URL()
	if r.Prefix != "" {
		u.Path = "/" + r.Prefix + u.Path
	}
	if r.NS != "" {
		query := u.Query()
		query.Set("ns", r.NS)
		u.RawQuery = query.Encode()
	}
	return u
}

// URL is path and query of a read as an upstream is asked: Prefix and NS stay out.
func (r Request) URL() *url.URL {
	u := &url.URL{}
	switch r.Kind {
	case KindBase:
		u.Path = "/v2/"
	case KindCatalog:
		u.Path = "/v2/_catalog"
	case KindTags:
		u.Path = "/v2/" + r.Name + "/tags/list"
	case KindManifest:
		u.Path = "/v2/" + r.Name + "/manifests/" + r.Reference()
	case KindBlob:
		u.Path = "/v2/" + r.Name + "/blobs/" + r.Reference()
	case KindReferrers:
		u.Path = "/v2/" + r.Name + "/referrers/" + r.Reference()
	default:
		panic(fmt.Sprintf("registry: no URL for a request of kind %s", r.Kind))
	}
	query := url.Values{}
	for key, value := range map[string]string{"n": r.N, "last": r.Last, "artifactType": r.ArtifactType} {
		if value != "" {
			query.Set(key, value)
		}
	}
	u.RawQuery = query.Encode()
	return u
}

// quote prints what a client sent, shortened, and with nothing that could end a
// log line or a JSON string.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strconv.QuoteToASCII(s)
}
