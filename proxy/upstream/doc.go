// Package upstream sends requests to one registry, Harbor above all, and brings
// its answers back. What it adds to a bare http.Transport, from the outside in:
//
//   - a body that moves has no limit, one that stands still is given up (body.go);
//   - retry of reads that met a passing fault (retry.go);
//   - redirects of blobs followed by us, not shown to clients (redirect.go), by
//     a transport that carries no credentials and dials no private address that
//     is not listed (guard.go);
//   - authentication by package tokencache, below the retries: by exchange at Harbor,
//     by a token as it is where another Breakwater stands there;
//   - two transports (transport.go), control for tokens and manifests, bodies
//     for blobs, so that bodies never starve control.
package upstream
