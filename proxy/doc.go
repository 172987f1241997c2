// Package proxy is the road of one pull: an http.Handler for each listener that takes
// a registry client's request and answers it from what is held, or from upstream.
// [Proxy.Behind] keeps this order, and the files are named after it:
//
//  1. Parse the request once into a value (package registry). What does not
//     parse strictly, upgrades, and writes are refused here.
//  2. The listener's gate (package access) tells who the client is; the routes (package
//     route, find.go) which repository upstream it means, however it spelled it; and the
//     gate again whether it may pull that. What follows is the same for all who may, and
//     is the business of one upstream (origin.go).
//  3. By tag (tag.go): what it is now, from its record while that is fresh, else by
//     one HEAD upstream for all who wait, else, while upstream is down, from the
//     record as it was. A refusal (denial.go) is asked again before it is believed
//     (confirm.go).
//  4. By digest (manifest.go, blob.go): is there a link (link.go), that is, did
//     upstream give this digest for this repository? Held content without one is
//     asked for upstream first.
//  5. A hit is served (content.go, ranges.go). What follows from it happens in the
//     background: access that was proven too long ago is proven anew (access.go), the
//     pull is reported to upstream (report.go), what the manifest lists counts as used
//     and is linked (children.go).
//  6. A miss is fetched: a manifest whole (document.go), a blob by joining or starting
//     its transfer into the cache, for which source.go asks upstream.
//  7. All else, tags lists and referrers, is forwarded (forward.go, list.go) by
//     [httputil.ReverseProxy] on the same transport, and its names are made the client's
//     again. A catalog is put together of what the client may pull (catalog.go).
//  8. Whatever went wrong becomes one registry error (refusal.go), in one place.
//
// Where a pull would go by all this is told without going there (explain.go).
//
// Upstream may be another Breakwater: circles are found by Via (via.go), and what the two
// tell each other beside what any client is told stands in level.go.
//
// Every question to upstream is built anew from the parsed value and judged in
// ask.go; up to our own header all has twelve seconds. Each request ends in one line
// of the log and one count (exchange.go), and tells its client the same in
// Cache-Status (cachestatus.go).
package proxy
