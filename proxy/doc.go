// Package proxy is the road of one pull: an http.Handler that takes a registry
// client's request and answers it from upstream. [Proxy.ServeHTTP] keeps this
// order, and the files are named after it:
//
//  1. Parse the request once into a value (package registry). What does not
//     parse strictly, upgrades, and writes are refused here.
//  2. Forward it (forward.go) by [httputil.ReverseProxy] on the transport of
//     package upstream: the request built anew from the value, with an
//     allow-list of headers.
//  3. Answer (answer.go): a manifest is read whole, verified and offered by what
//     the client accepts (manifest.go); a blob is hashed as it passes and its
//     tail withheld until the digest is right (blob.go, withhold.go); lists get
//     links that point at us (list.go). An allow-list of headers goes out.
//  4. Whatever went wrong becomes one registry error (refusal.go), in one place.
//
// Each request ends in one line of the log and one count (exchange.go), and
// tells its client the same in Cache-Status.
package proxy
