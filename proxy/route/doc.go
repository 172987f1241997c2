// Package route knows how clients' names lead to Harbor's.
//
// A [Route] is named as clients write a registry (docker.io), and leads to a place
// upstream (harbor, below hub-proxy). A [Table] finds the route that a request means
// (match.go): by the path's prefix, by ns, by what is usual at the listener; and makes
// of the client's request the canonical one, in which the repository has the one name
// that upstream has for it. Whatever is decided, kept or asked after that is by this
// name alone, however it was spelled. Back go names for whoever reads the answer
// (names.go). The world is closed: what no route opens is unknown.
//
// What is wrong with routes is found before anything is served (conflicts.go).
package route
