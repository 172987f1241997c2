package proxy

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"breakwater/proxy/access"
	"breakwater/proxy/registry"
	"breakwater/proxy/route"
)

// catalogPages bounds the pages that are asked for in the name of one request.
const catalogPages = 1000

// walk goes once through the catalog of the one upstream that all these sections lead
// to, until the first of them have as many names as are wanted. It counts pages.
func (x *exchange) walk(sections []*section, wanted int, pages *int) error {
	x.origin = x.origins[sections[0].route.Upstream]
	page := registry.Request{Kind: registry.KindCatalog, Method: http.MethodGet, N: strconv.Itoa(catalogPage)}
	if after := sections[0].after; after != "" {
		page.Last = place(sections[0].route) + after
	}
	gone := ""                                 // a last that upstream does not know
	ends := map[string]struct{}{page.Last: {}} // of pages, in whatever order they come
	for ; !enough(sections, wanted); *pages++ {
		if *pages == catalogPages {
			return registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable,
				"the catalog of upstream %s has more than the %d pages that are read for one answer: ask for what comes after a name that you know, with last", x.Upstream.Name(), catalogPages)
		}
		names, last, err := x.repositories(page)
		if err != nil && x.asked.status == http.StatusBadRequest && page.Last != "" && gone == "" {
			// Harbor goes on after nothing but a repository that it has: not one that was
			// deleted, nor one that never was.
			gone, page.Last = page.Last, ""
			clear(ends)
			continue
		}
		if err != nil {
			x.route = sections[0].route // the client and the log are told of it
			return err
		}
		if !last {
			page.Last = names[len(names)-1]
			if _, again := ends[page.Last]; again {
				return registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable,
					"the catalog of upstream %s goes in circles: its operator must look at it", x.Upstream.Name())
			}
			ends[page.Last] = struct{}{}
		}
		if gone != "" {
			names = slices.DeleteFunc(names, func(name string) bool { return name <= gone })
		}
		if err := x.show(sections, wanted, names); err != nil {
			return err
		}
		for _, s := range sections {
			s.walked = last || x.past(page.Last, place(s.route))
		}
	}
	return nil
}

// place is what the names upstream begin with to which the route leads.
func place(r route.Route) string { return strings.TrimPrefix(r.Prefix+"/", "/") }

// past tells that no name of those that follow in the catalog lies at the place. They are
// in lexical order, in which a / comes among other characters or, with some registries,
// before them; a Breakwater lists one registry after the other.
func (x *exchange) past(name, place string) bool {
	first := strings.NewReplacer("/", "\x00")
	return !x.origin.level.Load() && !strings.HasPrefix(name, place) && name > place && first.Replace(name) > first.Replace(place)
}

// enough tells that nothing more has to be known of the sections to fill a page.
func enough(sections []*section, wanted int) bool {
	for _, s := range sections {
		if wanted -= len(s.names); wanted <= 0 {
			return true
		}
		if !s.walked {
			return false
		}
	}
	return true
}

// show adds upstream's names to the sections of which the client may see them, and keeps
// no more than are wanted.
func (x *exchange) show(sections []*section, wanted int, names []string) error {
	var opened []access.Repository
	for _, name := range names {
		if slices.ContainsFunc(sections, func(s *section) bool { _, ok := s.route.Below(name); return ok }) {
			opened = append(opened, x.named(x.Upstream.Name(), name))
		}
	}
	visible, err := x.gate.Visible(x.ctx, x.client, opened)
	if err != nil {
		return err
	}
	for _, s := range sections {
		for _, repository := range visible {
			if len(s.names) == wanted {
				break
			}
			if below, ok := s.route.Below(repository.Name); ok && x.leadsTo(s.spelled+below, repository) {
				s.names = append(s.names, s.spelled+below)
			}
		}
		s.names = s.names[:min(len(s.names), wanted)]
		wanted -= len(s.names)
	}
	return nil
}

// leadsTo tells whether a client pulls that repository by a name that is shown here. One
// whose first part is a route's name leads elsewhere; it is shown where its own registry
// is asked for.
func (x *exchange) leadsTo(name string, repository access.Repository) bool {
	shown := registry.Request{Kind: registry.KindTags, Prefix: x.written.Prefix, NS: x.written.NS, Name: name}
	match, err := x.Routes.Find(shown, x.usual)
	return err == nil && match.Route.Upstream == repository.Upstream && match.Request.Name == repository.Name
}

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
	return catalog.Repositories, link == "" || len(catalog.Repositories) == 0, nil
}
