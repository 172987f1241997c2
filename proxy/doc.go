// Package proxy is the road of one pull: an http.Handler that takes a registry
// client's request and answers it from upstream. [Proxy.ServeHTTP] keeps this
// order, and the files are named after it:
//
//  1. Parse the request once into a value (package registry). What does not
//     parse strictly, upgrades, and writes are refused here.
//  2. Forward it (forward.go) by [httputil.ReverseProxy] on the transport of
//     package upstream: the request built anew from the value, with an
//     allow-list of headers.
//  3. Answer (answer.go): manifests and lists are read whole (document.go). A
//     manifest is verified and offered by what the client accepts (manifest.go);
//     a list gets links that point at us (list.go); a blob is hashed as it passes
//     and its tail withheld until the digest is right (blob.go, withhold.go). An
//     allow-list of headers goes out. Up to here all has twelve seconds.
//  4. Whatever went wrong becomes one registry error (refusal.go), in one place.
//
// Each request ends in one line of the log and one count (exchange.go), and
// tells its client the same in Cache-Status.
package proxy
