package proxy

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"breakwater/proxy/registry"
	"breakwater/tokencache"
)

// What a Breakwater tells another one before it, beside what any client is told.

// accessRefused is a Proxy-Status (RFC 9209 §2.1.4) that says why an answer is a 404 or
// a 502: our own upstream refuses us. A 404 without it is about the content, and a 502
// without it about nothing.
const accessRefused = "breakwater; received-status=401"

// tellRefused sets that field where it is so.
func tellRefused(h http.Header, refusal *registry.Error, err error) {
	if refusal.Status != http.StatusForbidden && denialOf(err) == denialAccess {
		h.Set("Proxy-Status", accessRefused)
	}
}

// refusedBeyond reads it: an answer by which an upstream that is a Breakwater says that
// its own upstream refuses it the access, or does not take its credential.
func (o *origin) refusedBeyond(request registry.Request, resp *http.Response, cause error) (no *saidNo, ok bool) {
	if resp.Header.Get("Proxy-Status") != accessRefused {
		return nil, false
	}
	switch resp.StatusCode {
	case http.StatusNotFound:
		return &saidNo{status: http.StatusUnauthorized, refusal: o.denied(request).Because(cause)}, true
	case http.StatusBadGateway:
		beyond := registry.Errorf(http.StatusBadGateway, registry.CodeUnavailable,
			"the credential that upstream %s has for its own upstream is refused there: its operator must renew it; yours are not the trouble", o.Upstream.Name())
		return &saidNo{status: http.StatusUnauthorized, credential: true, refusal: beyond.Because(cause)}, true
	}
	return nil, false
}

// ofCredential tells refusals that are about a credential, ours or upstream's own, and
// not about one repository.
func ofCredential(err error) bool {
	var no *saidNo
	return errors.As(err, new(*tokencache.CredentialError)) || errors.As(err, &no) && no.credential
}

// longestAge bounds what an upstream says of an age.
const longestAge = 1 << 31 * time.Second // RFC 9111 §1.2.2

// ageOf is how long ago an answer was found to be so (RFC 9111 §5.1): a Breakwater's is
// not of now, but of when it asked itself.
func ageOf(resp *http.Response) time.Duration {
	seconds, err := strconv.ParseUint(resp.Header.Get("Age"), 10, 63)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return time.Duration(min(seconds, uint64(longestAge/time.Second))) * time.Second
}

// levels is a Cache-Status that Breakwaters wrote, the one nearest to the origin first
// (RFC 9211 §2).
var levels = regexp.MustCompile(`^breakwater(; [a-z-]+(=[a-z0-9-]+)?)*(, breakwater(; [a-z-]+(=[a-z0-9-]+)?)*)*$`)

// longestLevels is how many bytes of it are handed on.
const longestLevels = 512

// levelsOf is what the Breakwaters behind an answer say of it.
func levelsOf(resp *http.Response) string {
	said := resp.Header.Get("Cache-Status")
	if resp.StatusCode >= http.StatusMultipleChoices || len(said) > longestLevels || !levels.MatchString(said) {
		return ""
	}
	return said + ", "
}

// levelOf is what the Breakwater that was asked says of its answer, without those behind
// it; "" where it is none.
func levelOf(resp *http.Response) string {
	fields := resp.Header.Values("Cache-Status")
	if len(fields) == 0 {
		return ""
	}
	last := fields[len(fields)-1]
	last = strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])
	if name, _, _ := strings.Cut(last, ";"); name != "breakwater" {
		return ""
	}
	return last
}

// secondhand tells of a Breakwater's answer that it does not come from what that holds
// for the very repository: whoever runs a registry behind a proxy-cache project there can
// name any digest.
func secondhand(resp *http.Response) bool {
	said := levelOf(resp)
	return said != "" && said != "breakwater; hit" && !strings.HasSuffix(said, "; detail=validated")
}
