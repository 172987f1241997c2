package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"breakwater/blobcache"
	"breakwater/proxy/registry"

	"go.uber.org/zap"
)

// maxList bounds a list, in bytes: some 100,000 repositories.
const maxList = 16 << 20

// list answers what is forwarded: tags and referrers.
func (x *exchange) list(resp *http.Response, h http.Header) error {
	if resp.StatusCode != http.StatusOK {
		return x.badAnswer(x.request, resp, "a part of a list")
	}
	mediaType, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" && mediaType != registry.TypeOCIIndex {
		return x.badAnswer(x.request, resp, "a list of the type %.60q", resp.Header.Get("Content-Type"))
	}
	if applied := resp.Header.Get(filtersApplied); applied == "artifactType" {
		h.Set(filtersApplied, applied)
	}
	if resp.Request.Method != http.MethodHead {
		body, release, err := x.readDocument(x.ctx, resp, maxList)
		if err != nil {
			return err
		}
		release()
		if body, err = x.renamed(resp, body); err != nil {
			return err
		}
		if err := x.holdMemory(int64(len(body))); err != nil {
			return err
		}
		if x.request.Kind == registry.KindReferrers && emptyIndex(body) {
			x.referrers.put(x.request.URL().String(), list{mediaType, h.Get(filtersApplied), body}, negativeLife)
		}
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	h.Set("Content-Type", mediaType)
	if resp.ContentLength >= 0 && (resp.Request.Method != http.MethodHead || !x.renames()) {
		h.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
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

// renames tells whether the body names the repository, and not as the client does.
func (x *exchange) renames() bool {
	return x.request.Kind == registry.KindTags && x.request.Name != x.written.Name
}

// renamed is the body with the client's name for the repository.
func (x *exchange) renamed(resp *http.Response, body []byte) ([]byte, error) {
	if !x.renames() {
		return body, nil
	}
	var tags map[string]json.RawMessage
	err := json.Unmarshal(body, &tags)
	switch {
	case err == nil && tags == nil:
		err = errors.New("null")
	case err == nil:
		tags["name"], err = json.Marshal(x.written.Name)
	}
	if err == nil {
		body, err = json.Marshal(tags)
	}
	if err != nil {
		return nil, x.badAnswer(x.request, resp, "a list of tags that cannot be read: %w", err)
	}
	return body, nil
}

// filtersApplied is a header field of the distribution spec, "Listing Referrers".
const filtersApplied = "Oci-Filters-Applied"

// list is an answer that is remembered.
type list struct {
	mediaType string
	filters   string // OCI-Filters-Applied
	body      []byte
}

// noReferrers answers from the memory that nothing refers to a digest: signature
// checks ask for each image of each pod.
func (x *exchange) noReferrers() (bool, error) {
	empty, ok := x.referrers.get(x.request.URL().String())
	if !ok {
		return false, nil
	}
	x.found.how = cacheHit
	x.w.Header().Set("Content-Type", empty.mediaType)
	if empty.filters != "" {
		x.w.Header().Set(filtersApplied, empty.filters)
	}
	x.cacheStatus(x.w.Header())
	return true, x.serve(blobcache.Bytes(empty.body))
}

func emptyIndex(body []byte) bool {
	var index struct {
		Manifests []json.RawMessage `json:"manifests"`
	}
	return json.Unmarshal(body, &index) == nil && len(index.Manifests) == 0
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
	page := x.written
	page.N, page.Last = u.Query().Get("n"), u.Query().Get("last")
	here := page.Here()
	if _, err := registry.Parse(http.MethodGet, here); err != nil || page == x.written {
		return "", false // nothing to go on with, or in a circle
	}
	return "<" + here.String() + `>; rel="next"`, true
}
