package proxy

import (
	"context"
	"hash/maphash"
	"io"
	"net/http"
	"time"

	"breakwater/blobcache/index"
)

// report tells upstream, once in a while, that a manifest is in use: Harbor's
// retention looks at the time of the last GET and would delete what is served from
// here.
func (p *Proxy) report(pr pair, link index.Link) {
	if p.Policy.RecordPull <= 0 || within(link.Reported, p.reportEvery(pr)) {
		return
	}
	// Whatever comes of it, not more often than this.
	if !p.reported.once(pr.repo.Name+"@"+pr.digest.String(), p.Policy.RecordPull/24) {
		return
	}
	p.background.later(func(ctx context.Context) { p.reportNow(ctx, pr) })
}

// reportEvery spreads the reports, so that images that were first pulled together
// are not reported together for ever: 90 to 100 % of RecordPull.
func (p *Proxy) reportEvery(pr pair) time.Duration {
	spread := maphash.Comparable(p.seed, pr) % 1000
	return p.Policy.RecordPull - p.Policy.RecordPull/10*time.Duration(spread)/1000
}

func (p *Proxy) reportNow(ctx context.Context, pr pair) {
	limited, cancel := budgeted(ctx)
	defer cancel()
	resp, _, err := p.ask(limited, http.MethodGet, pr.request())
	if err == nil {
		var n int64
		n, err = io.Copy(io.Discard, io.LimitReader(resp.Body, maxManifest))
		p.Events.Fetched(p.Upstream.Name(), pr.request().Kind.String(), n)
		_ = resp.Body.Close() // its content is held already
	}
	result := provenResult(err)
	if err == nil {
		result = "reported"
		p.index.Report(pr.repo, pr.kind, pr.digest, time.Now())
	} else {
		p.deniedHeld(suspicion{repo: pr.repo, digest: pr.digest}, err)
	}
	p.Events.PullReported(p.Upstream.Name(), result)
}
