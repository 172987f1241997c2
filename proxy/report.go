package proxy

import (
	"context"
	"hash/maphash"
	"io"
	"net/http"
	"time"

	"breakwater/blobcache/index"
)

// unreported is how often a manifest in use is asked for where pulls are not
// reported: by HEAD, which leaves nothing behind. Whoever pulls by digest hears so
// that upstream refuses it now.
const unreported = 24 * time.Hour

// report tells upstream, once in a while, that a manifest is in use: Harbor's
// retention looks at the time of the last GET and would delete what is served from
// here.
func (o *origin) report(pr pair, link index.Link) {
	every := o.Policy.RecordPull
	if every <= 0 {
		every = unreported
	}
	if within(link.Reported, o.spread(every, pr)) {
		return
	}
	// Whatever comes of it, not more often than this.
	if !o.reported.once(pr.String(), every/24) {
		return
	}
	o.background.later(func(ctx context.Context) { o.reportNow(ctx, pr) })
}

// spread is 90 to 100 % of that time, so that images that were first pulled together
// are not reported together for ever.
func (o *origin) spread(every time.Duration, pr pair) time.Duration {
	share := maphash.Comparable(o.seed, pr) % 1000
	return every - every/10*time.Duration(share)/1000
}

func (o *origin) reportNow(ctx context.Context, pr pair) {
	limited, cancel := budgeted(ctx)
	defer cancel()
	method := http.MethodGet
	if o.Policy.RecordPull <= 0 {
		method = http.MethodHead
	}
	resp, _, err := o.ask(limited, method, pr.request())
	if err == nil {
		var n int64
		n, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxManifest))
		o.Events.Fetched(o.Upstream.Name(), pr.request().Kind.String(), n)
		_ = resp.Body.Close() // its content is held already
	}
	if err == nil {
		o.index.Report(pr.repo, pr.kind, pr.digest, time.Now())
	} else {
		o.deniedHeld(suspicionOf(pr), err)
	}
	if method == http.MethodHead {
		return
	}
	result := provenResult(err)
	if err == nil {
		result = "reported"
	}
	o.Events.PullReported(o.Upstream.Name(), result)
}
