package registry

import (
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// MaxName is the longest repository name in bytes: the distribution spec warns
// that clients limit it to 255 with the host name included.
const MaxName = 255

// The grammar of the distribution spec, "Pulling manifests".
var (
	nameGrammar = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagGrammar  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

// ValidName tells whether s is a repository name of at most [MaxName] bytes.
func ValidName(s string) bool { return len(s) <= MaxName && nameGrammar.MatchString(s) }

// ValidTag tells whether s is a tag.
func ValidTag(s string) bool { return tagGrammar.MatchString(s) }

// ParseDigest takes "sha256:" with 64 or "sha512:" with 128 lower-case
// hexadecimal digits, and nothing else: the two algorithms that the OCI image
// spec registers and that we can verify.
func ParseDigest(s string) (digest.Digest, bool) {
	d := digest.Digest(s)
	if !strings.HasPrefix(s, "sha256:") && !strings.HasPrefix(s, "sha512:") {
		return "", false
	}
	if d.Validate() != nil {
		return "", false
	}
	return d, true
}

// Project is the first component of a repository name: Harbor gives rights per
// project.
func Project(name string) string {
	project, _, _ := strings.Cut(name, "/")
	return project
}
