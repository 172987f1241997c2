package config

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
)

// refused explains the keys that others know and that are left out on purpose.
func (Upstream) refused(key string) *mistake {
	switch key {
	case "password":
		return &mistake{
			"a password does not belong in this file, which is copied, committed and shown",
			"put it in a file of its own and write password_file: /path/of/it, or in the environment and write password_env: NAME",
		}
	case "bearer_token":
		return &mistake{
			"a token does not belong in this file, which is copied, committed and shown",
			"put it in a file of its own and write bearer_token_file: /path/of/it",
		}
	case "proxy":
		return &mistake{"is not set here", "set HTTPS_PROXY and NO_PROXY in the environment"}
	}
	return movedToRoutes(key)
}

func (Config) refused(key string) *mistake { return movedToRoutes(key) }

func (Listener) refused(key string) *mistake { return movedToRoutes(key) }

// movedToRoutes explains a key that there was before there were routes.
func movedToRoutes(key string) *mistake {
	if key != "projects" {
		return nil
	}
	return &mistake{
		"is not set here: what holds for a project is said of the route that leads there",
		"move its keys, such as routes: {docker.io: {to: harbor/hub-proxy, proxy_cache: true, repositories: [\"**\"]}}",
	}
}

// validate reports what is wrong with the upstream that stands at the path at.
func (u Upstream) validate(r *report, at string) {
	u.validateURLs(r, at)
	u.validateBearer(r, at)
	u.validateUsername(r, at+".username")
	u.validatePassword(r, at)
	for key, path := range map[string]string{
		"password_file": u.PasswordFile, "bearer_token_file": u.BearerTokenFile, "ca_file": u.CAFile, "cert_file": u.CertFile, "key_file": u.KeyFile,
	} {
		r.wrong(at+"."+key, absolute(path))
	}
	if u.CertFile != "" && u.KeyFile == "" {
		r.missing(at, at+".cert_file", "is without its key", "add key_file")
	}
	if u.KeyFile != "" && u.CertFile == "" {
		r.missing(at, at+".key_file", "is without its certificate", "add cert_file")
	}
	for i, network := range u.Redirects {
		validateRedirect(r, fmt.Sprintf("%s.redirects[%d]", at, i), network)
	}
	u.validateFreshness(r, at)
}

// validateURLs keeps the account's password on the way to where it belongs.
func (u Upstream) validateURLs(r *report, at string) {
	if u.URL.URL == nil {
		r.missing(at, at+".url", "is missing", "write the address of the registry, such as https://harbor.example.com")
		return
	}
	if !u.URL.isOrigin() {
		r.problem(at+".url", "has a path, and a registry is served from the root of its host (OCI distribution spec, end-1)", "remove "+shown(u.URL.Path))
	}
	u.validateClear(r, at+".url", u.URL)
	u.validateClear(r, at+".token_url", u.TokenURL)
	for i, realm := range u.Realms {
		path := fmt.Sprintf("%s.realms[%d]", at, i)
		if realm.URL != nil && !realm.isOrigin() {
			r.problem(path, "has a path, and only the origin of a realm is compared", "remove "+shown(realm.Path))
		}
		u.validateClear(r, path, realm)
	}
}

// validateClear refuses a downgrade: credentials that would be sent to target
// in the clear, though the registry itself is reached by TLS. Where the
// registry is not, that is the operator's choice, and worth a warning.
func (u Upstream) validateClear(r *report, path string, target URL) {
	if target.URL == nil || target.Scheme == "https" {
		return
	}
	if u.URL.Scheme == "https" {
		r.problem(path, "would send the credentials in the clear, although the registry is reached by https", "write https://")
		return
	}
	secret := "password"
	if u.BearerTokenFile != "" {
		secret = "token"
	}
	if (u.Username != "" || u.BearerTokenFile != "") && target.inTheClear() {
		r.warn(path, "is plain http: who listens on the way reads the "+secret+" and every image", "use https://, with ca_file for a private authority")
	}
}

// validateBearer: a token is shown as it is, so there is nothing to exchange for it, and
// nowhere else to send it.
func (u Upstream) validateBearer(r *report, at string) {
	if u.BearerTokenFile == "" {
		return
	}
	for key, written := range map[string]bool{
		"username": u.Username != "", "password_file": u.PasswordFile != "", "password_env": u.PasswordEnv != "",
		"token_url": u.TokenURL.URL != nil, "realms": len(u.Realms) > 0,
	} {
		if written {
			r.problem(at+"."+key, "is for an account, and with bearer_token_file there is none: another Breakwater takes the token itself", "remove one of the two")
		}
	}
}

func (u Upstream) validateUsername(r *report, path string) {
	name := u.Username
	switch {
	case name == "":
	case strings.Contains(name, "%24"):
		r.problem(path, shown(name)+" is written for a URL, and Harbor refuses it", "write "+strings.ReplaceAll(name, "%24", "$"))
	case strings.Contains(name, "${"):
		r.problem(path, shown(name)+" names a variable, and nothing is expanded here", "write the user name itself")
	case strings.Contains(name, ":") || strings.ContainsFunc(name, unicode.IsControl):
		r.problem(path, shown(name)+" holds a colon or a control character, which Basic credentials cannot (RFC 7617 §2)", "write the user name alone")
	case !strings.HasPrefix(name, "robot$"):
		r.warn(path, shown(name)+" does not look like a robot account: one wrong password of a database user makes Harbor refuse the right one too for 1.5 s",
			"use a robot that may only pull")
	}
}

func (u Upstream) validatePassword(r *report, at string) {
	user, file, env := at+".username", at+".password_file", at+".password_env"
	sources := r.key(file) + " or " + r.key(env)
	switch {
	case u.PasswordFile != "" && u.PasswordEnv != "":
		r.problem(env, "and "+r.key(file)+" are both given", "keep one of them")
	case u.Username != "" && u.PasswordFile == "" && u.PasswordEnv == "":
		r.missing(at, user, "is without a password", "add "+sources)
	case u.Username == "" && u.PasswordFile != "":
		r.missing(at, file, "is without a user name", "add "+r.key(user))
	case u.Username == "" && u.PasswordEnv != "":
		r.missing(at, env, "is without a user name", "add "+r.key(user))
	}
	if strings.ContainsFunc(u.PasswordEnv, notInVariable) {
		r.problem(env, "is not the name of an environment variable", "write the name, such as HARBOR_PASSWORD, and never the password itself")
	}
}

// notInVariable is stricter than POSIX, whose names end at the first "=".
func notInVariable(c rune) bool {
	return c != '_' && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9')
}

// validateRedirect refuses a network that would open the way to the metadata
// service of a cloud, where whoever can answer with a redirect finds passwords.
func validateRedirect(r *report, path string, network Network) {
	if !network.IsValid() {
		return // it could not be read, and was reported
	}
	for _, linkLocal := range []string{"169.254.0.0/16", "fe80::/10"} {
		if network.Overlaps(netip.MustParsePrefix(linkLocal)) {
			r.problem(path, fmt.Sprintf("%s holds link-local addresses, to which no redirect is followed", network), "write only the networks in which the storage stands")
		}
	}
}
