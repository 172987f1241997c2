// Package harbortest is a Harbor that runs inside the process: the upstream of
// Breakwater's tests and of `breakwater demo`.
//
// A real registry implementation (ocimem) keeps the content. In front of it
// stands what Harbor puts in front of its own storage registry, and a request
// meets it in this order:
//
//	log       every request is noted down before anything happens to it
//	faults    a test may delay, refuse, redirect, cut or falsify the answer
//	front     what Harbor's nginx does: paths, header limits, pages of its own
//	core      session cookie and CSRF, then by path:
//	            /service/token   the token service      (token.go)
//	            /api/v2.0/…      health and the like    (api.go)
//	            /v2/…            who calls, may they?   (challenge.go)
//	core      manifests, tags, catalog, referrers from Harbor's database
//	storage   manifests, blobs and uploads from the registry behind it
//
// A proxy-cache project has an upstream registry of its own between core and
// storage (proxycache.go, stored.go).
//
// Every answer is what a Harbor v2.16 gave to the same request: testdata holds
// the recorded requests and answers, and the replay test sends each of them
// again. What is not modelled is listed, with the reason, in
// testdata/not-modelled.txt.
//
// Everything that passes with time (tokens, presigned URLs, what a proxy-cache
// project stores in the background, health checks, delays and rates of faults)
// follows time.Now and starts no goroutine, so a Harbor works inside a
// testing/synctest bubble; there, [Harbor.StartInMemory] gives it a listener that
// needs no network.
package harbortest
