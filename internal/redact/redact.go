// Package redact is the one place that keeps secrets out of everything that
// Breakwater prints: logs, errors, metrics, the answers of its commands.
//
// A password or a token travels as a [Secret], which has no printed form; the
// code that puts it on the wire calls [Secret.Reveal], so a search for that
// name finds every place where a secret leaves the program. A URL is printed
// with [URL]: presigned query strings and upload state are secrets too.
package redact

import (
	"fmt"
	"net/url"
)

// Placeholder stands wherever a secret would have been printed.
const Placeholder = "[redacted]"

// Secret is a string that every fmt verb, JSON, YAML and text encoder prints as
// [Placeholder]. Its zero value is "no secret".
type Secret string

// Reveal returns the secret itself, to be sent to where it belongs.
func (s Secret) Reveal() string { return string(s) }

// Format implements [fmt.Formatter] for every verb, %#v and %x included.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// String returns [Placeholder], or nothing for the empty secret, so that a
// missing password can be told from a hidden one.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return Placeholder
}

// MarshalText covers encoding/json, and zap's reflection through it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML covers gopkg.in/yaml.v3, which prefers it to MarshalText.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// URL prints scheme, host and path. User information, query and fragment are
// left out: a presigned URL is a credential (its signature is in the query),
// and so is the _state of a registry's upload Location.
func URL(u *url.URL) string {
	if u == nil {
		return ""
	}
	printed := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return printed.String()
}
