// Package metrics owns every metric's name, the registry that holds them, and
// the page that Prometheus reads. Other packages declare the events that they
// emit; [Metrics] satisfies them all, and only the program itself joins the two.
//
// No label takes its values from what clients send: routes and upstreams come
// from the configuration, kinds, methods, results and states are closed sets.
package metrics

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"breakwater/proxy"
	"breakwater/proxy/access"
	"breakwater/tokencache"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// latency spans a warm answer to a client's patience, in seconds.
var latency = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120}

// Metrics counts what happens. It is safe for use by many goroutines.
type Metrics struct {
	registry *prometheus.Registry

	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
	inFlight prometheus.Gauge

	upstreamRequests *prometheus.CounterVec
	upstreamDuration *prometheus.HistogramVec
	mismatches       *prometheus.CounterVec

	stale    *prometheus.GaugeVec
	refusals *prometheus.CounterVec
	checks   *prometheus.CounterVec

	exchanges        *prometheus.CounterVec
	exchangeDuration *prometheus.HistogramVec
	credential       *prometheus.GaugeVec

	cache *cacheCounts
}

// New returns Metrics with a registry of their own. What is alerted on begins at 0
// for each upstream: a first event is a rise only from something.
func New(version string, upstreams ...string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: counter("requests_total", "Requests answered to clients, by how they ended. Status 499: the client left first.",
			"route", "kind", "method", "status", "cache"),
		duration: histogram("request_duration_seconds", "Time from a client's request to the end of its answer, the body included.", "kind", "cache"),
		bytes:    counter("response_bytes_total", "Bytes of bodies sent to clients. Cache hit, validated and stale: of what was held; miss and joined: as it came from upstream; bypass: of what is not kept; none: our own words.", "route", "kind", "cache"),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "requests_in_flight", Help: "Requests being answered now."}),

		upstreamRequests: counter("upstream_requests_total", "Requests sent upstream, redirects followed. Status none: no answer came.",
			"upstream", "kind", "status"),
		upstreamDuration: histogram("upstream_request_duration_seconds", "Time until upstream's headers were there, a token exchange included.", "upstream", "kind"),
		mismatches:       counter("digest_mismatches_total", "Content from upstream that was not what its digest says. No client got it whole.", "upstream", "kind"),

		stale: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "files_stale",
			Help: "1 where the files of a part of the configuration changed and cannot be used: the old ones are, until a restart, which would fail."}, []string{"part"}),
		refusals: counter("client_refusals_total", "Requests and connections of clients that were turned away, by listener and reason. no_credentials: a client asks how to log in, as each pull of some begins.", "listener", "reason"),
		checks:   counter("client_credential_checks_total", "Credentials of clients that were not remembered and so were hashed, verified, or asked Harbor about: accepted, rejected, or unknown, since who could tell could not be asked.", "listener", "result"),

		exchanges:        counter("token_exchanges_total", "Questions to the token service, by result.", "upstream", "result"),
		exchangeDuration: histogram("token_exchange_duration_seconds", "Time that the token service took.", "upstream"),
		credential: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: "credential_state",
			Help: "1 for the state that the credential for an upstream is in, 0 for the others."}, []string{"upstream", "state"}),

		cache: newCacheCounts(),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()}})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.duration, m.bytes, m.inFlight, m.upstreamRequests, m.upstreamDuration, m.mismatches, m.stale, m.refusals, m.checks,
		m.exchanges, m.exchangeDuration, m.credential, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(m.cache.collectors()...)
	m.cache.begin(upstreams)
	for _, upstream := range upstreams {
		for _, kind := range []string{"manifest", "blob"} {
			m.mismatches.WithLabelValues(upstream, kind)
		}
	}
	return m
}

const namespace = "breakwater"

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
}

func plain(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
}

func histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: latency}, labels)
}

// Handler serves the metrics page.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry:            m.registry,
		MaxRequestsInFlight: 4, // whoever reaches the admin port may ask, but not keep the machine busy with it
		Timeout:             10 * time.Second,
	})
}

// RequestBegan and the methods below satisfy [proxy.Events].
func (m *Metrics) RequestBegan() { m.inFlight.Inc() }

// RequestServed counts a request that has ended.
func (m *Metrics) RequestServed(s proxy.Served) {
	m.inFlight.Dec()
	m.requests.WithLabelValues(s.Route, s.Kind, s.Method, status(s.Status), s.Cache).Inc()
	m.duration.WithLabelValues(s.Kind, s.Cache).Observe(s.Took.Seconds())
	m.bytes.WithLabelValues(s.Route, s.Kind, s.Cache).Add(float64(s.Bytes))
}

// DigestMismatch counts wrong content.
func (m *Metrics) DigestMismatch(upstream, kind string) {
	m.mismatches.WithLabelValues(upstream, kind).Inc()
}

// UpstreamAnswered and the methods below satisfy upstream.Events.
func (m *Metrics) UpstreamAnswered(upstream, kind string, code int, took time.Duration) {
	m.upstreamRequests.WithLabelValues(upstream, kind, status(code)).Inc()
	m.upstreamDuration.WithLabelValues(upstream, kind).Observe(took.Seconds())
}

// TokenExchanged counts one question to the token service.
func (m *Metrics) TokenExchanged(upstream, result string, took time.Duration) {
	m.exchanges.WithLabelValues(upstream, result).Inc()
	m.exchangeDuration.WithLabelValues(upstream).Observe(took.Seconds())
}

// CredentialChanged leaves one state of the upstream's credential at 1, the
// others at 0.
func (m *Metrics) CredentialChanged(upstream, state string) {
	for _, s := range tokencache.States() {
		m.credential.WithLabelValues(upstream, s).Set(0)
	}
	m.credential.WithLabelValues(upstream, state).Set(1)
}

// ClientRefused and CredentialsChecked satisfy [access.Events].
func (m *Metrics) ClientRefused(listener string, why access.Why) {
	m.refusals.WithLabelValues(listener, string(why)).Inc()
}

// CredentialsChecked counts a check of credentials that were not remembered.
func (m *Metrics) CredentialsChecked(listener string, result access.Result) {
	m.checks.WithLabelValues(listener, string(result)).Inc()
}

// FilesReloaded tells whether changed files of a part of the configuration are in use.
func (m *Metrics) FilesReloaded(part string, inUse bool) {
	stale := 1.0
	if inUse {
		stale = 0
	}
	m.stale.WithLabelValues(part).Set(stale)
}

// WatchCertificate shows when a listener's certificate expires, as it is then.
func (m *Metrics) WatchCertificate(listener string, expires func() time.Time) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: "certificate_expiry_timestamp_seconds",
		Help: "When the certificate that a listener shows expires, in Unix time.", ConstLabels: prometheus.Labels{"listener": listener}},
		func() float64 { return float64(expires().Unix()) }))
}

// WatchListener makes the counts of a listener begin at 0.
func (m *Metrics) WatchListener(listener string) {
	for _, why := range access.Whys() {
		m.refusals.WithLabelValues(listener, string(why))
	}
	for _, result := range access.Results() {
		m.checks.WithLabelValues(listener, string(result))
	}
}

// status bounds what an upstream can make of a label.
func status(code int) string {
	switch {
	case code == 0:
		return "none"
	case code < 100 || code > 599:
		return "other"
	}
	return strconv.Itoa(code)
}
