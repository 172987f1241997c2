package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"breakwater/internal/redact"
	"breakwater/tokencache"
)

// challenge prints how upstream wants to be authenticated to, and asks its token
// service who we are: that tells whether the realm may be asked at all. It
// reports whether upstream answers as a registry.
func (v *visit) challenge(ctx context.Context, first answer) bool {
	challenges := tokencache.ParseChallenges(first.header)
	offered := func(scheme string) *tokencache.Challenge {
		if i := slices.IndexFunc(challenges, func(c tokencache.Challenge) bool { return c.Scheme == scheme }); i >= 0 {
			return &challenges[i]
		}
		return nil
	}
	bearer, basic := offered("bearer"), offered("basic")
	html := strings.HasPrefix(first.header.Get("Content-Type"), "text/html")
	switch {
	case first.status == http.StatusUnauthorized && bearer != nil:
		v.harbor = bearer.Parameters["service"] == tokencache.HarborService
		v.askWho(ctx)
		v.bearer(*bearer)
	case first.status == http.StatusUnauthorized && basic != nil:
		v.askWho(ctx)
		v.OK("challenge", "Basic: the password itself goes with each request")
	case first.status == http.StatusOK && !html:
		v.askWho(ctx)
		v.open()
	default:
		seen, todo := v.noRegistry(first)
		v.Fail("challenge", seen, todo)
		return false
	}
	return true
}

func (v *visit) askWho(ctx context.Context) {
	ctx, cancel := step(ctx)
	defer cancel()
	v.who, v.refusal = v.Client.Grant(ctx, tokencache.Scope{})
}

func (v *visit) open() {
	if v.Account != "" {
		v.Warn("challenge", "none: whoever asks is answered, and the account is not used", "leave username and its password out, or look whether url is the right registry")
		return
	}
	v.OK("challenge", "none: whoever asks is answered")
}

func (v *visit) bearer(c tokencache.Challenge) {
	realm := "(not a URL)"
	if u, err := url.Parse(c.Parameters["realm"]); err == nil {
		realm = redact.URL(u)
	}
	seen := fmt.Sprintf("Bearer, realm %s, service %q", realm, c.Parameters["service"])
	if v.harbor {
		seen += ": a Harbor"
	}
	var elsewhere *tokencache.RealmError
	switch {
	case errors.As(v.refusal, &elsewhere):
		v.Fail("challenge", seen+", but the realm is not at "+v.origin()+", so no password is sent there", v.realmAdvice(realm))
	case v.TokenURL != nil:
		v.OK("challenge", seen+"; token_url "+redact.URL(v.TokenURL)+" is asked instead")
	default:
		v.OK("challenge", seen)
	}
}

func (v *visit) origin() string { return v.URL.Scheme + "://" + v.URL.Host }

// realmAdvice: a Harbor has its token service at its own address, and only does
// not know by which name, or by which scheme, it is reached from here. Others
// may keep it on a host of its own.
func (v *visit) realmAdvice(realm string) string {
	if v.harbor {
		return "set token_url: " + v.origin() + "/service/token (usual where TLS ends before Harbor or another name leads to it), " +
			"or write the address that the realm names into url"
	}
	origin := realm
	if u, err := url.Parse(realm); err == nil {
		origin = u.Scheme + "://" + u.Host
	}
	return fmt.Sprintf("if the password may go there, set realms: [%q]", origin)
}

// noRegistry explains an answer to GET /v2/ that no registry gives.
func (v *visit) noRegistry(first answer) (seen, todo string) {
	kind := first.header.Get("Content-Type")
	if kind == "" {
		kind = "no content type"
	}
	seen = fmt.Sprintf("GET /v2/ is answered with %d %s (%s)", first.status, http.StatusText(first.status), kind)
	switch status := first.status; {
	case status >= 300 && status < 400:
		target := "nowhere"
		if location, err := v.URL.Parse(first.header.Get("Location")); err == nil {
			target = redact.URL(location)
		}
		return seen + ", a redirect to " + target, "write the address of the registry itself into url; a password is sent to no other"
	case status == http.StatusUnauthorized:
		return seen + ", with no challenge of Bearer or Basic", "something else than a registry asks for a login there: write the registry's own address into url"
	case status == http.StatusBadRequest && v.URL.Scheme == "http":
		return seen, "if that is a TLS port, write https:// in url"
	case status == http.StatusBadRequest:
		return seen, "if the server wants a client certificate, set cert_file and key_file; else look at its log"
	case status >= 500:
		return seen + ": what stands in front is up, and the registry behind it is not", "look at Harbor's core and its log"
	case status == http.StatusTooManyRequests:
		return seen, "try again later"
	}
	return seen + ": that is not a registry", "write the address of Harbor itself into url: a web page or another service stands at this one"
}
