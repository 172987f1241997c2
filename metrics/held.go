package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Held is what a cache holds at one moment.
type Held struct {
	Bytes    int64     // on disk, in whole blocks
	Objects  int       // on disk
	Budget   int64     // bytes that may be held on disk now
	Promised int64     // bytes of transfers under way
	Pinned   int       // objects that are being read
	Oldest   time.Time // last use of what goes next; zero where nothing is held
	Memory   int64     // bytes in memory

	Links, Tags, Repositories, Blocked int
}

// WatchCache has held asked at every scrape. It is to be called once.
func (m *Metrics) WatchCache(held func() Held) { m.registry.MustRegister(heldCollector(held)) }

// heldCollector makes gauges of one look at the cache, so that they belong
// together.
type heldCollector func() Held

// heldGauges are in the order of their values in Collect.
var heldGauges = []*prometheus.Desc{
	gauge("cache_held_bytes", "Bytes of content on disk, in whole blocks."),
	gauge("cache_objects", "Blobs and manifests on disk."),
	gauge("cache_budget_bytes", "Bytes that may be on disk now: max_size, or less where min_free asks for it."),
	gauge("cache_promised_bytes", "Bytes of transfers under way for which room is kept."),
	gauge("cache_pinned", "Objects on disk that are being read."),
	gauge("cache_memory_bytes", "Bytes of manifests and small blobs in memory."),
	gauge("cache_links", "Pairs of a repository and content that upstream gave out under it."),
	gauge("cache_tags", "Tags that are known."),
	gauge("cache_repositories", "Repositories of which something is known."),
	gauge("cache_blocked", "Digests that an operator has blocked."),
}

var oldestUse = gauge("cache_oldest_use_timestamp_seconds", "When the object that goes next was used last. Absent where nothing is held.")

func gauge(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, nil, nil)
}

// Describe implements [prometheus.Collector].
func (heldCollector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range heldGauges {
		descriptions <- d
	}
	descriptions <- oldestUse
}

// Collect implements [prometheus.Collector].
func (c heldCollector) Collect(gauges chan<- prometheus.Metric) {
	held := c()
	for i, value := range []float64{
		float64(held.Bytes), float64(held.Objects), float64(held.Budget), float64(held.Promised), float64(held.Pinned),
		float64(held.Memory), float64(held.Links), float64(held.Tags), float64(held.Repositories), float64(held.Blocked),
	} {
		gauges <- prometheus.MustNewConstMetric(heldGauges[i], prometheus.GaugeValue, value)
	}
	if !held.Oldest.IsZero() {
		gauges <- prometheus.MustNewConstMetric(oldestUse, prometheus.GaugeValue, float64(held.Oldest.UnixMilli())/1000)
	}
}
