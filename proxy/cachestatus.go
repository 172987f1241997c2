package proxy

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// How an answer was come by: the words that log, metric and Cache-Status share.
const (
	cacheHit       = "hit"       // from what is held; nobody was asked
	cacheValidated = "validated" // from what is held, after upstream confirmed it
	cacheStale     = "stale"     // from what is held, though upstream could not or would not confirm it
	cacheMiss      = "miss"      // from upstream, and kept
	cacheJoined    = "joined"    // from a transfer that somebody else began
	cacheBypass    = "bypass"    // from upstream; such answers are not kept
	cacheNone      = "none"      // an answer of our own
)

// found is how an answer was come by.
type found struct {
	how string        // one of the words above; "" is cacheNone
	age time.Duration // of a tag's record
	why error         // of cacheStale
}

func (f found) word() string {
	if f.how == "" {
		return cacheNone
	}
	return f.how
}

// become takes the next step's word, unless an earlier step of the same pull said
// more.
func (f *found) become(how string) {
	if f.how == "" || f.how == cacheHit {
		f.how = how
	}
}

// cacheStatus sets the header field of RFC 9211, and Age (RFC 9111 §5.1) of what a
// tag was found to be.
func (x *exchange) cacheStatus(h http.Header) {
	status := "breakwater"
	upstream := ""
	if x.asked.status != 0 {
		upstream = fmt.Sprintf("; fwd-status=%d", x.asked.status)
	}
	switch x.found.how {
	case "":
		return
	case cacheHit:
		status += "; hit"
	case cacheStale:
		status += "; hit; detail=stale"
	case cacheValidated:
		status += "; fwd=stale" + upstream + "; detail=validated"
	case cacheMiss:
		status += "; fwd=uri-miss" + upstream
	case cacheJoined:
		status += "; fwd=uri-miss; collapsed"
	case cacheBypass:
		status += "; fwd=bypass" + upstream
	}
	h.Set("Cache-Status", x.asked.levels+status)
	if x.found.age >= time.Second {
		h.Set("Age", strconv.Itoa(int(x.found.age.Seconds())))
	}
}
