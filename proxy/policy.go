package proxy

import "time"

// Forever is the Policy.StaleIfError that has no end.
const Forever = time.Duration(1<<63 - 1)

// Policy says how long what an upstream said may be relied on. Routes say for how long
// a tag is.
type Policy struct {
	// StaleIfError is how long a tag is served while upstream cannot be asked, from
	// when it was last confirmed.
	StaleIfError time.Duration
	// AccessTTL is how old the proof may be that our account may pull from a
	// repository, before it is asked for anew on a hit.
	AccessTTL time.Duration
	// DenialConfirm is how long after a refusal it is asked again, with a new token,
	// before it is believed.
	DenialConfirm time.Duration
	// RecordPull is how often upstream is told that a manifest is in use; 0: never.
	RecordPull time.Duration
	// ProxySettle is how long a proxy-cache project must name an index with fewer
	// platforms before that replaces the one that is held.
	ProxySettle time.Duration
}

// within tells whether a time is no longer ago than that. One that is still to come
// was noted before the clock was set back, and tells nothing.
func within(then time.Time, ttl time.Duration) bool {
	age := time.Since(then)
	return age >= 0 && age < ttl
}
