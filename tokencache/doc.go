// Package tokencache authenticates requests to one upstream registry: challenge,
// exchange, token. It is an [http.RoundTripper] and knows nothing of what the
// requests ask for; the scope of each travels in its context ([WithScope]).
//
// A request goes this way:
//
//  1. Upstream's terms (terms.go) are learnt once, by a GET /v2/ that carries no
//     Authorization: open, Basic, or Bearer with a realm and a service. A
//     registry challenges honestly only who sent nothing, so a rejected token
//     never changes them.
//  2. The scope becomes a key (scope.go). Harbor's rights are per project, so
//     there one token serves a whole project.
//  3. A token held for the key (tokens.go) is used. Else one exchange
//     (exchange.go) is made for all who wait (flight.go).
//  4. The token is judged by what it grants (verdict.go): Harbor answers 200 and
//     an anonymous token to a refused password, and the same while its database
//     is down. What the answer says about the credential (credential.go) decides
//     whether upstream is asked again now or after a back-off (backoff.go).
//  5. The request is sent (transport.go). A 401 makes the token be replaced and
//     the request be sent once more; a fresh token that is refused too is
//     upstream's word, and its 401 is handed to the caller.
//  6. Tokens in use are renewed before they expire (renew.go).
//
// Where the operator gives a token that upstream takes as it is, there is neither
// challenge nor exchange, and each request carries what is in the file now
// (bearer.go).
//
// Of somebody else's credentials nothing is kept: what they are granted is asked each
// time ([Cache.Ask], ask.go).
//
// Credentials go to upstream's own origin and to nowhere else, unless the
// operator says so ([Options].TokenURL, [Options].Realms). No mutex is held
// over the network, and [Cache.Close] waits for everything that was begun.
package tokencache
