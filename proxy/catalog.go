package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"breakwater/blobcache"
	"breakwater/proxy/registry"
)

// catalogPage is how many repositories are asked for at once, and shown at most where
// a client names no number.
const catalogPage = 1000

// catalog answers with those repositories that the client may pull from. Upstream's
// list is walked from where the client stands until a page is full, so that neither
// a short page nor a link tells of what is not shown.
func (x *exchange) catalog() error {
	x.found.how = cacheBypass
	most := catalogPage
	if n, err := strconv.Atoi(x.request.N); err == nil {
		most = min(n, catalogPage) // the parser took it for a number
	}
	shown, more, err := x.visible(most)
	if err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		Repositories []string `json:"repositories"`
	}{shown})
	if err != nil {
		return fmt.Errorf("repositories as JSON: %w", err)
	}
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	if more {
		next := x.request
		next.N, next.Last = strconv.Itoa(most), shown[most-1]
		h.Set("Link", "<"+next.URL().String()+`>; rel="next"`)
	}
	x.cacheStatus(h)
	return x.serve(blobcache.Bytes(body))
}

// visible collects that many repositories, and tells whether there are more.
func (x *exchange) visible(most int) (shown []string, more bool, err error) {
	shown = []string{}
	page := x.request
	page.N = strconv.Itoa(catalogPage)
	for last := false; most > 0 && !last; {
		var names []string
		if names, last, err = x.repositories(page); err != nil {
			return nil, false, err
		}
		visible, err := x.gate.Visible(x.ctx, x.client, names)
		if err != nil {
			return nil, false, err
		}
		shown = append(shown, visible...)
		if len(shown) > most {
			return shown[:most], true, nil
		}
		if !last {
			page.Last = names[len(names)-1]
		}
	}
	return shown, false, nil
}

// errCatalogStandsStill is the cause of a catalog that cannot be walked.
var errCatalogStandsStill = errors.New("the next page of the catalog begins where the last one did")

// repositories asks for one page of upstream's catalog. last tells that there are no
// more: a registry may give fewer than were asked for and go on with a Link
// (distribution spec, "Listing Tags").
func (x *exchange) repositories(page registry.Request) (names []string, last bool, err error) {
	resp, did, err := x.ask(x.ctx, http.MethodGet, page)
	x.note(did)
	if err != nil {
		return nil, false, err
	}
	link := resp.Header.Get("Link")
	body, release, err := x.readDocument(x.ctx, resp, maxList)
	if err != nil {
		return nil, false, err
	}
	defer release()
	var catalog struct {
		Repositories []string `json:"repositories"`
	}
	if err := json.Unmarshal(body, &catalog); err != nil {
		return nil, false, x.badAnswer(page, resp, "a catalog that cannot be read: %w", err)
	}
	names = catalog.Repositories
	if link == "" || len(names) == 0 {
		return names, true, nil
	}
	if names[len(names)-1] == page.Last {
		return nil, false, x.badAnswer(page, resp, "%w", errCatalogStandsStill)
	}
	return names, false, nil
}
