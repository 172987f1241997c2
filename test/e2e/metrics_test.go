//go:build e2e

package e2e

import (
	"bytes"
	"net/http"
	"regexp"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// named are the metrics of ours, and those that the Prometheus library gives
// every program.
var named = regexp.MustCompile(`^(breakwater|go|process|promhttp)_`)

// The admin port's page is what Prometheus expects, and its numbers move with
// what clients and Breakwater do.
func TestMetricsMove(t *testing.T) {
	w := newWorld(t)
	before := scrape(t, w)
	const pulls = 5
	for range pulls {
		status, _, err := get("http://" + w.registry + "/v2/team-a/app/manifests/1.0")
		if err != nil || status != http.StatusOK {
			t.Fatalf("status %d, error %v", status, err)
		}
	}
	after := scrape(t, w)

	for name, least := range map[string]float64{
		"breakwater_requests_total":          pulls,
		"breakwater_upstream_requests_total": 1,
		"breakwater_token_exchanges_total":   1,
	} {
		if moved := total(after[name]) - total(before[name]); moved < least {
			t.Errorf("%s moved by %v during %d pulls, want at least %v", name, moved, pulls, least)
		}
	}
	for name := range after {
		if !named.MatchString(name) {
			t.Errorf("%s is not named after the program", name)
		}
	}
	problems, err := promlint.New(bytes.NewReader(w.breakwater.metrics(t))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}

func scrape(t *testing.T, w *world) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(w.breakwater.metrics(t)))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// total sums a counter over its labels.
func total(family *dto.MetricFamily) (sum float64) {
	for _, metric := range family.GetMetric() {
		sum += metric.GetCounter().GetValue()
	}
	return sum
}
