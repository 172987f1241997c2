package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"breakwater/proxy/registry"

	"github.com/opencontainers/go-digest"
)

// maxManifest is the size in bytes that the distribution spec ("Pushing
// Manifests") has every registry accept; larger ones are refused.
const maxManifest = 4 << 20

// manifest answers end-3. GET and HEAD agree in type, length and digest.
func (x *exchange) manifest(resp *http.Response, h http.Header) error {
	mediaType, ok := registry.ManifestType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || !ok {
		return x.badAnswer(resp, "a manifest of the type %.60q", resp.Header.Get("Content-Type"))
	}
	var (
		d      digest.Digest
		length = resp.ContentLength
		err    error
	)
	if resp.Request.Method == http.MethodHead {
		if d, err = x.promisedDigest(resp); err != nil {
			return err
		}
	} else {
		body, err := x.readManifest(resp, mediaType)
		if err != nil {
			return err
		}
		if d, err = x.verifiedDigest(resp, body); err != nil {
			return err
		}
		length = int64(len(body))
		resp.Body = io.NopCloser(bytes.NewReader(body))
	}

	if !registry.Accepts(x.r.Header.Values("Accept"), mediaType) {
		return registry.Errorf(http.StatusNotFound, registry.CodeManifestUnknown,
			"this manifest is of the type %s, which the Accept header does not list", mediaType)
	}
	content(h, d, mediaType)
	h.Set("Vary", "Accept")
	if length >= 0 {
		h.Set("Content-Length", strconv.FormatInt(length, 10))
	}
	if x.matches(h.Get("Etag")) {
		x.notModified(resp, h)
	}
	return nil
}

// promisedDigest is what a HEAD is told.
func (x *exchange) promisedDigest(resp *http.Response) (digest.Digest, error) {
	if x.request.Digest != "" {
		return x.request.Digest, nil
	}
	promised := resp.Header.Get("Docker-Content-Digest")
	d, ok := registry.ParseDigest(promised)
	if !ok {
		return "", x.badAnswer(resp, "%.80q as a digest", promised)
	}
	return d, nil
}

func (x *exchange) readManifest(resp *http.Response, mediaType string) ([]byte, error) {
	body, err := x.readDocument(resp, maxManifest)
	if err != nil {
		return nil, err
	}
	var says struct {
		MediaType string `json:"mediaType"`
	}
	if err := json.Unmarshal(body, &says); err != nil {
		return nil, x.badAnswer(resp, "a manifest that is not JSON: %w", err)
	}
	// An OCI manifest may leave mediaType out (image spec, "Image Manifest").
	if says.MediaType != "" && says.MediaType != mediaType {
		return nil, x.badAnswer(resp, "the type %.80q for a manifest that calls itself %.80q", mediaType, says.MediaType)
	}
	return body, nil
}

// verifiedDigest computes the digest that was asked for, or promised. A
// proxy-cache project promises none at first: its header is there, and empty.
func (x *exchange) verifiedDigest(resp *http.Response, body []byte) (digest.Digest, error) {
	want, promised := x.request.Digest, resp.Header.Get("Docker-Content-Digest")
	if want == "" {
		if promised == "" {
			return digest.FromBytes(body), nil
		}
		var ok bool
		if want, ok = registry.ParseDigest(promised); !ok {
			return "", x.badAnswer(resp, "%.80q as a digest", promised)
		}
	}
	if got := want.Algorithm().FromBytes(body); got != want {
		return "", x.badAnswer(resp, "%w", mismatchError{want: want, got: got})
	}
	return want, nil
}
