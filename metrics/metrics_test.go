package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"breakwater/metrics"
	"breakwater/proxy"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// page lets every kind of event happen, and returns what Prometheus reads.
func page(t *testing.T) string {
	t.Helper()
	m := metrics.New("1.2.3")
	m.RequestBegan()
	m.RequestBegan()
	m.RequestServed(proxy.Served{Route: "harbor", Kind: "blob", Method: "GET", Status: 200, Cache: "bypass", Bytes: 42, Took: time.Second})
	m.DigestMismatch("harbor", "blob")
	m.UpstreamAnswered("harbor", "blob", 0, time.Second)
	m.UpstreamAnswered("harbor", "blob", 999, time.Second)
	m.TokenExchanged("harbor", "granted", time.Second)
	m.CredentialChanged("harbor", "accepted")
	m.CredentialChanged("harbor", "refused")
	cacheEvents(m)
	return read(t, m)
}

// read is what Prometheus reads.
func read(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("the page answers %d", answer.Code)
	}
	return answer.Body.String()
}

func TestEventsAreCounted(t *testing.T) {
	got := page(t)
	for _, want := range []string{
		`breakwater_build_info{goversion="go`,
		`breakwater_requests_in_flight 1`,
		`breakwater_requests_total{cache="bypass",kind="blob",method="GET",route="harbor",status="200"} 1`,
		`breakwater_request_duration_seconds_count{cache="bypass",kind="blob"} 1`,
		`breakwater_response_bytes_total{cache="bypass",kind="blob",route="harbor"} 42`,
		`breakwater_upstream_requests_total{kind="blob",status="none",upstream="harbor"} 1`,
		`breakwater_upstream_requests_total{kind="blob",status="other",upstream="harbor"} 1`,
		`breakwater_upstream_request_duration_seconds_count{kind="blob",upstream="harbor"} 2`,
		`breakwater_digest_mismatches_total{kind="blob",upstream="harbor"} 1`,
		`breakwater_token_exchanges_total{result="granted",upstream="harbor"} 1`,
		`breakwater_token_exchange_duration_seconds_count{upstream="harbor"} 1`,
		`breakwater_credential_state{state="refused",upstream="harbor"} 1`,
	} {
		if !strings.Contains(got, "\n"+want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if !strings.Contains(got, `breakwater_credential_state{state="accepted",upstream="harbor"} 0`) {
		t.Error("a credential is in two states at once")
	}
}

func TestNamesFollowPrometheus(t *testing.T) {
	problems, err := promlint.New(strings.NewReader(page(t))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
