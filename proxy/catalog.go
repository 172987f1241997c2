package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"breakwater/blobcache"
	"breakwater/internal/pattern"
	"breakwater/proxy/access"
	"breakwater/proxy/registry"
	"breakwater/proxy/route"
)

// catalogPage is how many repositories are asked for at once, and shown at most where
// a client names no number.
const catalogPage = 1000

// catalogPages bounds the pages that are asked for in the name of one request.
const catalogPages = 1000

// section is what one route adds to a catalog.
type section struct {
	route   route.Route
	spelled string // before each name, for the client to pull by it
}

// sections are all that belong to the catalog that was asked for: that of one registry,
// or of whatever is served here, of which the usual registry's names need no more.
func (x *exchange) sections() []section {
	if x.route.Name != "" {
		return []section{{route: x.route}}
	}
	var all []section
	usual, ok := x.Routes.Named(x.usual)
	if ok {
		all = append(all, section{route: usual})
	}
	for _, r := range x.Routes.Routes() {
		if r.Name != usual.Name {
			all = append(all, section{r, r.Path() + "/"})
		}
	}
	return all
}

// catalog answers with those repositories that the client may pull from, by the names
// by which it can. Upstream's list is walked from where the client stands until a page
// is full, so that neither a short page nor a link tells of what is not shown.
func (x *exchange) catalog() error {
	x.found.how = cacheBypass
	most := catalogPage
	if n, err := strconv.Atoi(x.written.N); err == nil {
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
		next := x.written
		next.N, next.Last = strconv.Itoa(most), shown[most-1]
		h.Set("Link", "<"+next.Here().String()+`>; rel="next"`)
	}
	x.cacheStatus(h)
	return x.serve(blobcache.Bytes(body))
}

// visible collects that many names, and tells whether there are more.
func (x *exchange) visible(most int) (shown []string, more bool, err error) {
	shown = []string{}
	if most == 0 {
		return shown, false, nil
	}
	sections, last := x.sections(), x.written.Last
	for i, s := range sections {
		if below, ok := strings.CutPrefix(last, s.spelled); ok && s.spelled != "" {
			sections, last = sections[i:], below
			break
		}
	}
	for _, s := range sections {
		if !x.gate.Shows(x.client, s.route.Upstream, pattern.New(s.route.Name+"/**")) {
			continue // and nobody has to be asked
		}
		if shown, err = x.walk(s, last, most, shown); err != nil {
			return nil, false, err
		}
		if len(shown) > most {
			return shown[:most], true, nil
		}
		last = ""
	}
	return shown, false, nil
}

// walk adds the names of a section that come after the last, until there are more than
// are wanted.
func (x *exchange) walk(s section, last string, most int, shown []string) ([]string, error) {
	x.origin = x.origins[s.route.Upstream]
	prefix := strings.TrimPrefix(s.route.Prefix+"/", "/")
	page := registry.Request{Kind: registry.KindCatalog, Method: http.MethodGet, N: strconv.Itoa(catalogPage)}
	if last != "" {
		page.Last = prefix + last
	}
	for end, pages := false, 0; !end && len(shown) <= most; pages++ {
		if pages == catalogPages {
			return nil, registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable,
				"the catalog of upstream %s has more than %d repositories: ask from a later one on, with last", x.Upstream.Name(), catalogPages*catalogPage)
		}
		var (
			names  []string
			opened []access.Repository
			err    error
		)
		if names, end, err = x.repositories(page); err != nil {
			return nil, err
		}
		for _, name := range names {
			if _, ok := s.route.Below(name); ok {
				opened = append(opened, x.named(s.route.Upstream, name))
			}
			page.Last = name
		}
		visible, err := x.gate.Visible(x.ctx, x.client, opened)
		if err != nil {
			return nil, err
		}
		for _, repository := range visible {
			below, _ := s.route.Below(repository.Name)
			if x.leadsTo(s.spelled+below, repository) {
				shown = append(shown, s.spelled+below)
			}
		}
		// Names are in lexical order: what follows lies no more below the prefix.
		end = end || page.Last > prefix && !strings.HasPrefix(page.Last, prefix)
	}
	return shown, nil
}

// leadsTo tells whether a client pulls that repository by a name that is shown here. One
// whose first part is a route's name leads elsewhere; it is shown where its own registry
// is asked for.
func (x *exchange) leadsTo(name string, repository access.Repository) bool {
	shown := registry.Request{Kind: registry.KindTags, Prefix: x.written.Prefix, NS: x.written.NS, Name: name}
	match, err := x.Routes.Find(shown, x.usual)
	return err == nil && match.Route.Upstream == repository.Upstream && match.Request.Name == repository.Name
}

// errCatalogStandsStill is the cause of a catalog that cannot be walked.
var errCatalogStandsStill = errors.New("the next page of the catalog does not go on where the last one ended")

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
	if names[len(names)-1] <= page.Last {
		return nil, false, x.badAnswer(page, resp, "%w", errCatalogStandsStill)
	}
	return names, false, nil
}
