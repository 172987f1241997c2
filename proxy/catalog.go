package proxy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"breakwater/blobcache"
	"breakwater/proxy/route"
)

// catalogPage is how many repositories are asked for at once, and shown at most where
// a client names no number.
const catalogPage = 1000

// section is what one route adds to a catalog.
type section struct {
	route   route.Route
	spelled string   // before each name, for the client to pull by it
	after   string   // the name below the route where the client stands; "" before the first
	walked  bool     // names are those that come after it, as many as are wanted
	names   []string // as the client sees them
}

// sections are all that belong to the catalog that was asked for: that of one registry,
// or of whatever is served here, of which the usual registry's names need no more.
func (x *exchange) sections() []*section {
	if x.route.Name != "" {
		return []*section{{route: x.route}}
	}
	var all []*section
	usual, ok := x.Routes.Named(x.usual)
	if ok {
		all = append(all, &section{route: usual})
	}
	for _, r := range x.Routes.Routes() {
		if r.Name != usual.Name {
			all = append(all, &section{route: r, spelled: r.Path() + "/"})
		}
	}
	return all
}

// following are those of the sections that come after the last name that the client has.
func following(last string, sections []*section) []*section {
	here := slices.IndexFunc(sections, func(s *section) bool { return s.spelled != "" && strings.HasPrefix(last, s.spelled) })
	if here < 0 { // it is one of the usual registry's, or of a route that is gone
		here = slices.IndexFunc(sections, func(s *section) bool { return s.spelled == "" || s.spelled > last })
	}
	if here < 0 {
		return nil
	}
	sections = sections[here:]
	if below, ok := strings.CutPrefix(last, sections[0].spelled); ok {
		sections[0].after = below
	}
	return sections
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
	// Of what can show the client nothing, nobody has to be asked.
	sections := slices.DeleteFunc(following(x.written.Last, x.sections()), func(s *section) bool {
		return !x.gate.Shows(x.client, s.route.Upstream, x.spellings(s.route))
	})
	pages := 0
	for i, s := range sections {
		if !s.walked {
			if err := x.walk(neighbours(sections[i:]), most+1-len(shown), &pages); err != nil {
				return nil, false, err
			}
		}
		if shown = append(shown, s.names...); len(shown) > most {
			return shown[:most], true, nil
		}
	}
	return shown, false, nil
}

// neighbours are the sections for which an upstream is walked through once: all that lead
// there. One in the middle of which the client stands is walked from there on.
func neighbours(sections []*section) []*section {
	first := sections[0]
	if first.after != "" {
		return sections[:1]
	}
	var group []*section
	for _, s := range sections {
		if s.route.Upstream == first.route.Upstream {
			group = append(group, s)
		}
	}
	return group
}
