// Package doctor looks at upstream registries the way a pull will, step by step,
// and says in plain lines what it saw and what to do about it. It is what
// `breakwater check` prints.
//
// The steps of one upstream, in order, each in the file of its name:
//
//	address     the name is resolved and a connection opened   (reach.go)
//	TLS         version, certificate, how long it lasts        (certificate.go)
//	challenge   how GET /v2/ wants to be authenticated to      (challenge.go)
//	health      what Harbor's health page says of its parts    (health.go)
//	token       an exchange, how long it took, whom it names   (token.go)
//	account     a robot, a user or an administrator            (token.go)
//	catalog     whether the account may list repositories      (catalog.go)
//
// and of each repository:
//
//	rights      what a token really grants there               (repository.go)
//	project     whether Harbor keeps or proxies its content    (project.go)
//	manifest    one tag, by HEAD                               (manifest.go)
//	blob        where blobs come from                          (manifest.go)
//
// For the last step the manifest of that tag is read whole, which Harbor counts
// as a pull; of a proxy-cache project it would make Harbor fetch the image, so
// there the step is left out.
//
// A step that fails does not hide a later one that can do without it; one that
// cannot be tried says so. Every step ends within [StepLimit]. Nothing is
// written upstream, and nothing secret is printed: doctor never holds a
// password or a token, package upstream does.
package doctor
