package metrics

import (
	"time"

	"breakwater/proxy"

	"github.com/prometheus/client_golang/prometheus"
)

// lay spans the time for which content lay unused before its room was needed, in
// seconds: a minute, ten, an hour, six, a day, three, a week, thirty days.
var lay = []float64{60, 600, 3600, 6 * 3600, 86400, 3 * 86400, 7 * 86400, 30 * 86400}

// cacheCounts count what becomes of content and of what is known of it.
type cacheCounts struct {
	evictions   *prometheus.CounterVec
	evictionAge prometheus.Histogram
	damaged     *prometheus.CounterVec
	failures    *prometheus.CounterVec

	fills     *prometheus.CounterVec
	fillBytes *prometheus.CounterVec
	joined    prometheus.Counter
	resumed   prometheus.Counter
	segments  prometheus.Counter
	bypasses  *prometheus.CounterVec
	received  *prometheus.CounterVec

	indexDamaged  prometheus.Counter
	indexFailures *prometheus.CounterVec

	tagChecks   *prometheus.CounterVec
	linkChecks  *prometheus.CounterVec
	denials     *prometheus.CounterVec
	pullReports *prometheus.CounterVec
	stale       *prometheus.CounterVec
	oldestStale oldest
}

func newCacheCounts() *cacheCounts {
	return &cacheCounts{
		evictions: counter("cache_evictions_total", "Blobs that left the disk. Reason size: max_size; free: min_free, or a full disk; purged; damaged.", "reason"),
		evictionAge: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: "cache_eviction_age_seconds",
			Help: "For how long blobs had not been used when their room was needed (reasons size and free).", Buckets: lay}),
		damaged:  counter("cache_damaged_total", "Files that were not what had been written, and were removed. How size, modified, digest, or read: it could not be read.", "how"),
		failures: counter("cache_disk_failures_total", "Operations that the disk refused. Pulls go on without it.", "operation"),

		fills: counter("cache_fills_total", "Transfers of blobs into the cache, by how they ended. Refused: upstream does not give the blob out; bypassed: clients got it, the disk did not.", "result"),
		fillBytes: counter("cache_fill_bytes_total", "Bytes that transfers of blobs had received when they ended.",
			"result"),
		joined:   plain("cache_fill_joined_total", "Clients that came to a transfer that another one had begun."),
		resumed:  plain("cache_fill_resumed_total", "Transfers that went on after upstream had broken off."),
		segments: plain("cache_fill_segments_total", "Parts of blobs that were fetched ahead of the rest."),
		bypasses: counter("cache_bypasses_total", "Blobs that went past the disk. Reason room: none to be had; disk: it failed.", "reason"),
		received: counter("cache_received_bytes_total", "Bytes of content received from upstream, those thrown away included.", "kind"),

		indexDamaged:  plain("cache_index_damaged_total", "Index files that were not what had been written, and were replaced."),
		indexFailures: counter("cache_index_failures_total", "Operations on the index that the disk refused.", "operation"),

		tagChecks: counter("cache_tag_checks_total", "Questions what a tag is now. Settling: a poorer index is not believed yet.", "upstream", "result"),
		linkChecks: counter("cache_link_checks_total", "Questions whether a repository has content that is held.",
			"upstream", "result"),
		denials: counter("cache_denials_total", "Refusals of what is held. Suspected, then confirmed (not served any more) or dismissed; lifted: served again.",
			"upstream", "state"),
		pullReports: counter("cache_pull_reports_total", "Manifests asked for so that upstream's retention knows of their use.", "upstream", "result"),
		stale:       counter("cache_stale_answers_total", "Answers that upstream could not, or would not, confirm.", "upstream", "kind"),
	}
}

// collectors are all of them, for the registry.
func (c *cacheCounts) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		c.evictions, c.evictionAge, c.damaged, c.failures,
		c.fills, c.fillBytes, c.joined, c.resumed, c.segments, c.bypasses, c.received,
		c.indexDamaged, c.indexFailures,
		c.tagChecks, c.linkChecks, c.denials, c.pullReports, c.stale,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: "cache_stale_age_seconds",
			Help: "The largest time since upstream's last word, of the stale answers of the last five minutes. 0: there were none."},
			func() float64 { return c.oldestStale.age(time.Now()).Seconds() }),
	}
}

// begin puts what may be alerted on at 0.
func (c *cacheCounts) begin(upstreams []string) {
	for counts, words := range map[*prometheus.CounterVec][]string{
		c.evictions:     {"size", "free", "purged", "damaged"},
		c.damaged:       {"size", "modified", "digest", "read"},
		c.failures:      {"write", "sync", "rename", "remove", "open"},
		c.fills:         {"stored", "mismatch", "failed", "refused", "abandoned", "bypassed"},
		c.bypasses:      {"room", "disk"},
		c.received:      {"manifest", "blob"},
		c.indexFailures: {"journal", "batch", "copy", "rebuild"},
	} {
		for _, word := range words {
			counts.WithLabelValues(word)
		}
	}
	for counts, words := range map[*prometheus.CounterVec][]string{
		c.tagChecks:   {proxy.TagSame, proxy.TagMoved, proxy.TagNew, proxy.TagSettling, proxy.TagRefused, proxy.TagUnavailable},
		c.linkChecks:  {"proven", "refused", "unavailable"},
		c.denials:     {proxy.DenialSuspected, proxy.DenialConfirmed, proxy.DenialDismissed, proxy.DenialLifted},
		c.pullReports: {"reported", "refused", "unavailable"},
		c.stale:       {"manifest", "blob"},
	} {
		for _, upstream := range upstreams {
			for _, word := range words {
				counts.WithLabelValues(upstream, word)
			}
		}
	}
}

// Evicted and the two methods below satisfy the events of blobcache/disk.
func (m *Metrics) Evicted(reason string, age time.Duration) {
	m.cache.evictions.WithLabelValues(reason).Inc()
	if reason == "size" || reason == "free" { // the others tell nothing of how much room is wanted
		m.cache.evictionAge.Observe(age.Seconds())
	}
}

// Damaged counts a file that was not what had been written.
func (m *Metrics) Damaged(how string) { m.cache.damaged.WithLabelValues(how).Inc() }

// Failed counts an operation that the disk refused.
func (m *Metrics) Failed(operation string) { m.cache.failures.WithLabelValues(operation).Inc() }

// FillEnded and the methods below satisfy the events of blobcache/fill.
func (m *Metrics) FillEnded(result string, received int64) {
	m.cache.fills.WithLabelValues(result).Inc()
	m.cache.fillBytes.WithLabelValues(result).Add(float64(received))
}

// Joined counts a client that came to another's transfer.
func (m *Metrics) Joined() { m.cache.joined.Inc() }

// Resumed counts a transfer that went on after a break.
func (m *Metrics) Resumed() { m.cache.resumed.Inc() }

// SegmentFetched counts a part that was brought ahead of the rest.
func (m *Metrics) SegmentFetched() { m.cache.segments.Inc() }

// Bypassed counts a blob that went past the disk.
func (m *Metrics) Bypassed(reason string) { m.cache.bypasses.WithLabelValues(reason).Inc() }

// Received counts bytes of blobs from upstream.
func (m *Metrics) Received(n int) { m.cache.received.WithLabelValues("blob").Add(float64(n)) }

// IndexDamaged and IndexFailed satisfy the events of blobcache/index.
func (m *Metrics) IndexDamaged() { m.cache.indexDamaged.Inc() }

// IndexFailed counts an operation on the index that the disk refused.
func (m *Metrics) IndexFailed(operation string) {
	m.cache.indexFailures.WithLabelValues(operation).Inc()
}

// Fetched counts bytes of manifests from upstream, beside Received, and without
// the upstream's name as there: several may fill one blob.
func (m *Metrics) Fetched(_, kind string, n int64) {
	m.cache.received.WithLabelValues(kind).Add(float64(n))
}

// TagChecked counts a question what a tag is now.
func (m *Metrics) TagChecked(upstream, result string) {
	m.cache.tagChecks.WithLabelValues(upstream, result).Inc()
}

// LinkProven counts a question whether a repository has what is held.
func (m *Metrics) LinkProven(upstream, result string) {
	m.cache.linkChecks.WithLabelValues(upstream, result).Inc()
}

// DenialChanged counts a refusal of what is held, or what became of one.
func (m *Metrics) DenialChanged(upstream, state string) {
	m.cache.denials.WithLabelValues(upstream, state).Inc()
}

// PullReported counts a manifest asked for so that upstream knows of its use.
func (m *Metrics) PullReported(upstream, result string) {
	m.cache.pullReports.WithLabelValues(upstream, result).Inc()
}

// StaleServed counts an answer that upstream did not confirm since age.
func (m *Metrics) StaleServed(upstream, kind string, age time.Duration) {
	m.cache.stale.WithLabelValues(upstream, kind).Inc()
	m.cache.oldestStale.note(time.Now(), age)
}
