package metrics_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/blobcache"
	"breakwater/metrics"
	"breakwater/proxy"
)

var (
	_ blobcache.Events = (*metrics.Metrics)(nil)
	_ proxy.Events     = (*metrics.Metrics)(nil)
)

var lastUse = time.UnixMilli(1_700_000_000_500)

// cacheEvents lets every event of the cache happen.
func cacheEvents(m *metrics.Metrics) {
	m.Evicted("size", 2*time.Hour)
	m.Evicted("purged", time.Second)
	m.Damaged("digest")
	m.Failed("sync")
	m.FillEnded("stored", 1000)
	m.FillEnded("failed", 24)
	m.Joined()
	m.Resumed()
	m.SegmentFetched()
	m.Bypassed("room")
	m.Received(1 << 20)
	m.Received(1)
	m.Fetched("harbor", "manifest", 500)
	m.IndexDamaged()
	m.IndexFailed("batch")
	m.TagChecked("harbor", "moved")
	m.LinkProven("harbor", "refused")
	m.DenialChanged("harbor", "confirmed")
	m.PullReported("harbor", "reported")
	m.StaleServed("harbor", "manifest", 90*time.Minute)
	m.WatchCache(func() metrics.Held {
		return metrics.Held{Bytes: 1, Objects: 2, Budget: 3, Promised: 4, Pinned: 5, Oldest: lastUse, Memory: 6,
			Links: 7, Tags: 8, Repositories: 9, Blocked: 10}
	})
}

func TestTheCacheIsCounted(t *testing.T) {
	got := page(t)
	for _, want := range []string{
		`cache_evictions_total{reason="size"} 1`,
		`cache_evictions_total{reason="purged"} 1`,
		`cache_eviction_age_seconds_bucket{le="3600"} 0`,
		`cache_eviction_age_seconds_bucket{le="21600"} 1`,
		`cache_eviction_age_seconds_count 1`,
		`cache_damaged_total{how="digest"} 1`,
		`cache_disk_failures_total{operation="sync"} 1`,
		`cache_fills_total{result="stored"} 1`,
		`cache_fill_bytes_total{result="stored"} 1000`,
		`cache_fill_bytes_total{result="failed"} 24`,
		`cache_fill_joined_total 1`,
		`cache_fill_resumed_total 1`,
		`cache_fill_segments_total 1`,
		`cache_bypasses_total{reason="room"} 1`,
		`cache_received_bytes_total{kind="blob"} 1.048577e+06`,
		`cache_received_bytes_total{kind="manifest"} 500`,
		`cache_index_damaged_total 1`,
		`cache_index_failures_total{operation="batch"} 1`,
		`cache_tag_checks_total{result="moved",upstream="harbor"} 1`,
		`cache_link_checks_total{result="refused",upstream="harbor"} 1`,
		`cache_denials_total{state="confirmed",upstream="harbor"} 1`,
		`cache_pull_reports_total{result="reported",upstream="harbor"} 1`,
		`cache_stale_answers_total{kind="manifest",upstream="harbor"} 1`,
		`cache_stale_age_seconds 5400`,
		`cache_held_bytes 1`,
		`cache_objects 2`,
		`cache_budget_bytes 3`,
		`cache_promised_bytes 4`,
		`cache_pinned 5`,
		`cache_memory_bytes 6`,
		`cache_links 7`,
		`cache_tags 8`,
		`cache_repositories 9`,
		`cache_blocked 10`,
		`cache_oldest_use_timestamp_seconds 1.7000000005e+09`,
	} {
		if !strings.Contains(got, "\nbreakwater_"+want+"\n") {
			t.Errorf("the page lacks breakwater_%s", want)
		}
	}
}

// A counter that appears with its first event never rises from 0.
func TestWhatIsAlertedOnBeginsAt0(t *testing.T) {
	m := metrics.New("1.2.3", "harbor", "other")
	m.WatchCache(func() metrics.Held { return metrics.Held{} })
	got := read(t, m)
	for _, want := range []string{
		`cache_damaged_total{how="read"} 0`,
		`cache_disk_failures_total{operation="rename"} 0`,
		`cache_evictions_total{reason="free"} 0`,
		`cache_fills_total{result="mismatch"} 0`,
		`cache_fills_total{result="refused"} 0`,
		`cache_bypasses_total{reason="disk"} 0`,
		`cache_index_damaged_total 0`,
		`cache_index_failures_total{operation="journal"} 0`,
		`cache_tag_checks_total{result="unavailable",upstream="other"} 0`,
		`cache_link_checks_total{result="unavailable",upstream="harbor"} 0`,
		`cache_denials_total{state="suspected",upstream="harbor"} 0`,
		`cache_pull_reports_total{result="refused",upstream="other"} 0`,
		`cache_stale_answers_total{kind="blob",upstream="harbor"} 0`,
		`cache_stale_age_seconds 0`,
		`cache_received_bytes_total{kind="manifest"} 0`,
		`digest_mismatches_total{kind="blob",upstream="other"} 0`,
	} {
		if !strings.Contains(got, "\nbreakwater_"+want+"\n") {
			t.Errorf("the page lacks breakwater_%s", want)
		}
	}
	if strings.Contains(got, "\nbreakwater_cache_oldest_use") {
		t.Error("an empty cache has an oldest use")
	}
}

// TestThePageOfTheCacheNamesEveryMetric fails when a metric is added and not
// documented, or documented and gone.
func TestThePageOfTheCacheNamesEveryMetric(t *testing.T) {
	documentation, err := os.ReadFile("../docs/cache.md")
	if err != nil {
		t.Fatal(err)
	}
	served := page(t)
	for _, found := range regexp.MustCompile(`(?m)^# TYPE breakwater_(cache_\w+) `).FindAllStringSubmatch(served, -1) {
		if !regexp.MustCompile("(?m)^\\| .*`" + found[1] + "`").Match(documentation) {
			t.Errorf("docs/cache.md does not name %s", found[1])
		}
	}
	for _, found := range regexp.MustCompile(`\b(cache_[a-z_]+_(?:total|bytes|seconds))\b`).FindAllStringSubmatch(string(documentation), -1) {
		if !strings.Contains(served, "# TYPE breakwater_"+found[1]+" ") {
			t.Errorf("docs/cache.md names %s, which is not served", found[1])
		}
	}
}

// The age of a stale answer is on the page for five minutes, give or take the
// minute that has begun.
func TestTheOldestStaleAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := metrics.New("1.2.3")
		is := func(when, want string) {
			t.Helper()
			if got := read(t, m); !strings.Contains(got, "\nbreakwater_cache_stale_age_seconds "+want+"\n") {
				_, line, _ := strings.Cut(got, "\nbreakwater_cache_stale_age_seconds ")
				t.Errorf("%s: %.10q, want %s", when, line, want)
			}
		}
		is("at first", "0")
		m.StaleServed("harbor", "manifest", 2*time.Hour)
		m.StaleServed("harbor", "manifest", time.Hour)
		is("the larger one", "7200")
		time.Sleep(2 * time.Minute)
		m.StaleServed("harbor", "blob", 30*time.Minute)
		is("still the largest", "7200")
		time.Sleep(2*time.Minute - time.Second)
		is("after nearly four minutes", "7200")
		time.Sleep(time.Minute + time.Second)
		is("after five", "1800")
		time.Sleep(2 * time.Minute)
		is("after seven", "0")
		m.StaleServed("harbor", "manifest", time.Minute)
		is("in a minute's place that was taken", "60")
	})
}
