// Package access is who may pull: a client is first authenticated, then every
// repository that it asks for is authorised, whether its content is held or not.
//
// Each listener has one [Gate] (gate.go), and that one [Mode], which tells who sent a
// request:
//
//   - anonymous.go: whoever comes from given networks
//   - password.go: who knows a password of an htpasswd file (htpasswd.go); what has to
//     be hashed waits in hashing.go
//   - token.go: who brings a JWT of a trusted issuer (issuer.go), a Kubernetes service
//     account's or another OpenID provider's; its keys (keys.go, jwks.go) are had by
//     discovery.go, or from a file
//   - certificate.go: who brings a certificate of a trusted authority (authorities.go)
//   - harbor.go: whom Harbor itself knows, and then it is Harbor that says what may
//     be pulled: harbor_verdict.go reads its word, harbor_lane.go and harbor_trials.go
//     see to it that asking hurts nobody
//
// What a client may pull is the [Policy] (policy.go), decided on the names that
// repositories have upstream; what no rule allows is denied. How much of Breakwater
// one client may keep busy is bounded by [Limits] (limits.go).
//
// Whoever is turned away gets a [Refusal] (refusal.go), which says what to tell the
// client, and in one word what to log and count. What clients prove themselves with
// goes nowhere from here but, in harbor mode, to Harbor's token service; of what was
// found out only a keyed hash is remembered (memory.go). Whoever tries wrong passwords
// is slowed down (attempts.go).
package access
