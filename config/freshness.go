package config

import (
	"fmt"
	"time"
)

// DefaultUpstream is what holds in an upstream where an operator wrote nothing.
// It has no URL.
func DefaultUpstream() Upstream {
	return Upstream{
		TagTTL:        Duration{10 * time.Second},
		StaleIfError:  Period{7 * 24 * time.Hour},
		AccessTTL:     Duration{30 * time.Minute}, // the life of Harbor's tokens
		DenialConfirm: Duration{30 * time.Second},
		RecordPull:    Duration{24 * time.Hour},
		ProxySettle:   Duration{15 * time.Minute},
	}
}

// usual is what decoding begins with.
func (*Upstream) usual() any { return DefaultUpstream() }

// validateFreshness reports what is out of range.
func (u Upstream) validateFreshness(r *report, at string) {
	within(r, at+".tag_ttl", u.TagTTL, 0, 24*time.Hour)
	if u.StaleIfError.Duration < 0 {
		r.problem(at+".stale_if_error", u.StaleIfError.String()+" is out of range", "write a duration such as 168h, or forever")
	}
	within(r, at+".access_ttl", u.AccessTTL, time.Minute, 24*time.Hour)
	within(r, at+".denial_confirm", u.DenialConfirm, time.Second, time.Hour)
	if d := u.RecordPull.Duration; d != 0 && d < time.Hour {
		r.problem(at+".record_pull", u.RecordPull.String()+" is out of range", "write 0s for never, or 1h or more")
	}
	within(r, at+".proxy_settle", u.ProxySettle, 0, 24*time.Hour)
}

// within reports a duration that is not from least to most.
func within(r *report, path string, d Duration, least, most time.Duration) {
	if d.Duration < least || d.Duration > most {
		r.problem(path, d.String()+" is out of range", fmt.Sprintf("write a duration from %s to %s", Duration{least}, Duration{most}))
	}
}
