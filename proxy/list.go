package proxy

import (
	"bytes"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"breakwater/proxy/registry"

	"go.uber.org/zap"
)

// maxList bounds a list, in bytes: some 100,000 repositories.
const maxList = 16 << 20

// list answers what is neither manifest nor blob: the base, tags, catalog and
// referrers.
func (x *exchange) list(resp *http.Response, h http.Header) error {
	if resp.StatusCode != http.StatusOK {
		return x.badAnswer(resp, "a part of a list")
	}
	if x.request.Kind == registry.KindBase {
		// All that end-1 says is its status.
		_ = resp.Body.Close()
		resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader("{}")), 2
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", "2")
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" && mediaType != registry.TypeOCIIndex {
		return x.badAnswer(resp, "a list of the type %.60q", resp.Header.Get("Content-Type"))
	}
	if resp.Request.Method != http.MethodHead {
		body, err := x.readDocument(resp, maxList)
		if err != nil {
			return err
		}
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	h.Set("Content-Type", mediaType)
	if resp.ContentLength >= 0 {
		h.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	if applied := resp.Header.Get("Oci-Filters-Applied"); applied == "artifactType" {
		h.Set("OCI-Filters-Applied", applied)
	}
	if link := resp.Header.Get("Link"); link != "" {
		if next, ok := x.next(link); ok {
			h.Set("Link", next)
		} else {
			x.Log.Warn("upstream has more of this list, by a link that cannot be followed: the client gets the first part only",
				zap.String("request_id", x.id), zap.String("kind", x.request.Kind.String()), zap.String("repository", x.request.Name))
		}
	}
	return nil
}

// next builds the Link of the next page (distribution spec, "Listing Tags")
// from the one that upstream gave: only how far it got is taken from there, so
// that the link points at us whatever host or path upstream named.
func (x *exchange) next(link string) (string, bool) {
	target, parameters, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !ok || !strings.Contains(strings.ReplaceAll(parameters, `"`, ""), "rel=next") {
		return "", false
	}
	u, err := url.Parse(target)
	if err != nil {
		return "", false
	}
	page := x.request
	page.N, page.Last = u.Query().Get("n"), u.Query().Get("last")
	here := page.URL()
	if _, err := registry.Parse(http.MethodGet, here); err != nil || page == x.request {
		return "", false // nothing to go on with, or in a circle
	}
	return "<" + here.String() + `>; rel="next"`, true
}
