package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"breakwater/internal/redact"
)

const (
	maxIssuers = 64  // each is compared with each
	maxClaim   = 255 // of a claim's name, an audience and a prefix
)

// Issuers is whose tokens are taken: one, written as a mapping, or a list of them.
type Issuers []Issuer

func (Issuers) oneOrMore() {}

// Issuer signs the tokens of some clients, and publishes its keys (OpenID Connect
// Discovery 1.0 §4) or had them written to a file.
type Issuer struct {
	Issuer          IssuerURL `yaml:"issuer"`
	Audience        string    `yaml:"audience"`                    // what a token must be for
	CAFile          string    `yaml:"ca_file,omitempty"`           // absolute; PEM, trusted besides the system's authorities
	BearerTokenFile string    `yaml:"bearer_token_file,omitempty"` // absolute; see BearerToken
	JWKSFile        string    `yaml:"jwks_file,omitempty"`         // absolute; keys in place of discovery (RFC 7517 §5)
	Prefix          string    `yaml:"prefix,omitempty"`            // before its subjects and groups
	SubjectClaim    string    `yaml:"subject_claim"`
	GroupsClaim     string    `yaml:"groups_claim"`

	bearerAt string // what an operator calls the bearer token's source, for errors
}

// usual is what decoding begins with.
func (*Issuer) usual() any { return Issuer{SubjectClaim: "sub", GroupsClaim: "groups"} }

// IssuerURL is the iss of an issuer's tokens, letter for letter (RFC 7519 §4.1.1),
// which is a [URL] too.
type IssuerURL string

func (i *IssuerURL) parse(text string) *mistake {
	var u URL
	if m := u.parse(text); m != nil {
		return m
	}
	*i = IssuerURL(text)
	return nil
}

// BearerToken reads what Breakwater shows the issuer to be given its keys, anew each
// time, since Kubernetes renews it every hour. It is empty where there is no such
// file; an error is a [Problem].
func (i Issuer) BearerToken() (redact.Secret, error) {
	return bearerToken(i.BearerTokenFile, i.bearerAt)
}

// issuerAt is the path of the i-th of the issuers at path, as they were written.
func issuerAt(r *report, path string, i int) string {
	first := path + "[0]"
	if _, list := r.lines[first]; list || i > 0 {
		return fmt.Sprintf("%s[%d]", path, i)
	}
	return path
}

func (is Issuers) validate(r *report, path string) {
	if len(is) == 0 || len(is) > maxIssuers {
		r.problem(path, fmt.Sprintf("has %d entries", len(is)), fmt.Sprintf("write 1 to %d issuers", maxIssuers))
		return
	}
	for i, issuer := range is {
		at := issuerAt(r, path, i)
		issuer.validate(r, at)
		if len(is) > 1 {
			is.validatePrefix(r, path, i)
		}
		for j, earlier := range is[:i] {
			if issuer.Issuer != "" && issuer.Issuer == earlier.Issuer {
				r.problem(at+".issuer", "is that of "+issuerAt(r, path, j)+" too, and a token's iss has to lead to one of them", "keep one of the two")
			}
		}
	}
}

// validatePrefix keeps each issuer to subjects of its own.
func (is Issuers) validatePrefix(r *report, path string, i int) {
	at, prefix := issuerAt(r, path, i), is[i].Prefix
	if prefix == "" {
		r.missing(at, at+".prefix", "is missing, and of several issuers each could name another's subjects", "write one for each, such as prefix: \"ci:\", and begin the patterns of allow with it")
		return
	}
	for j, other := range is[:i] {
		if other.Prefix != "" && (strings.HasPrefix(prefix, other.Prefix) || strings.HasPrefix(other.Prefix, prefix)) {
			r.problem(at+".prefix", fmt.Sprintf("%s and %s of %s begin alike, and one issuer could name the other's subjects", shown(prefix), shown(other.Prefix), issuerAt(r, path, j)),
				"write prefixes of which none begins another, such as \"ci:\" and \"dev:\"")
		}
	}
}

func (i Issuer) validate(r *report, at string) {
	if i.Issuer == "" {
		r.missing(at, at+".issuer", "is missing", "write the iss of the tokens, such as https://kubernetes.default.svc")
	}
	i.validateKeys(r, at)
	i.validateAudience(r, at)
	for key, text := range map[string]string{"prefix": i.Prefix, "subject_claim": i.SubjectClaim, "groups_claim": i.GroupsClaim} {
		if len(text) > maxClaim || strings.ContainsFunc(text, unicode.IsControl) {
			r.problem(at+"."+key, "is too long, or holds control characters", fmt.Sprintf("write at most %d plain characters", maxClaim))
		}
	}
	for key, text := range map[string]string{"subject_claim": i.SubjectClaim, "groups_claim": i.GroupsClaim} {
		if text == "" {
			r.problem(at+"."+key, "is empty", "name the claim, or leave the line out")
		}
	}
}

// validateKeys sees to it that nobody on the way can put keys of their own in place
// of the issuer's.
func (i Issuer) validateKeys(r *report, at string) {
	for key, path := range map[string]string{"ca_file": i.CAFile, "bearer_token_file": i.BearerTokenFile, "jwks_file": i.JWKSFile} {
		r.wrong(at+"."+key, absolute(path))
	}
	if i.JWKSFile != "" {
		for key, path := range map[string]string{"ca_file": i.CAFile, "bearer_token_file": i.BearerTokenFile} {
			if path != "" {
				r.problem(at+"."+key, "is for asking the issuer, and with jwks_file it is not asked", "remove one of the two")
			}
		}
		return
	}
	var u URL
	if u.parse(string(i.Issuer)) == nil && u.inTheClear() {
		r.problem(at+".issuer", "is plain http: who sits on the way could put keys of their own in place of the issuer's", "write https://, as the tokens must say too, or give the keys as jwks_file")
	}
}

// validateAudience keeps Breakwater's clients from sending tokens that open more than
// Breakwater: whoever runs, or breaks into, one taker of tokens for an API server's
// own audience could use them there.
func (i Issuer) validateAudience(r *report, at string) {
	const fix = "write a word of this registry's own, such as breakwater, and have tokens made for it"
	switch {
	case i.Audience == "":
		r.missing(at, at+".audience", "is missing, and tokens for anybody else would be taken", fix)
	case len(i.Audience) > maxClaim || strings.ContainsFunc(i.Audience, unicode.IsControl):
		r.problem(at+".audience", "is too long, or holds control characters", fmt.Sprintf("write at most %d plain characters", maxClaim))
	case bareName(i.Audience) == bareName(string(i.Issuer)):
		r.problem(at+".audience", "is the issuer itself: tokens for it open the issuer's own API, and must not be sent elsewhere", fix)
	case i.OwnAPI(i.Audience):
		r.problem(at+".audience", shown(i.Audience)+" is what Kubernetes calls its API server: tokens for it open that, and must not be sent elsewhere", fix)
	}
}

// OwnAPI reports whether tokens for the audience open an API of the issuer's own.
func (i Issuer) OwnAPI(audience string) bool {
	return slices.Contains([]string{
		bareName(string(i.Issuer)),
		"api", "k3s", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}, bareName(audience))
}

// bareName is a URL's rest behind https://, in one spelling.
func bareName(name string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(name), "https://"), "/")
}
