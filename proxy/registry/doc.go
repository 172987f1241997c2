// Package registry holds the words of the OCI distribution spec (v1.1) as
// values: one [Request], made by one [Parse], with [Request.URL] as the inverse;
// the names, tags and digests that it is made of; the rule of the Accept header;
// and the [Error] that every refusal is told with.
//
// A request is parsed once, at the door. Everything later reads fields, never
// strings. What does not parse strictly is refused: an upstream that normalises
// a path before it authorises ("%2F", "//", "..") would otherwise be asked for
// something other than what our own rules looked at.
package registry
