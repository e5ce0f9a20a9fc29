package standalone

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"weir.dev/weir/internal/upstream"
)

// maxHosts bounds the hosts that metrics tell apart; the rest is "other".
const maxHosts = 200

var (
	upstreamRequests = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "upstream", Name: "requests_total",
		Help:           "Requests to other registries by host, kind (ping, token, head, manifest, blob, tags) and outcome (Success or the kind of failure).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"registry", "kind", "outcome"})
	upstreamDuration = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Namespace: "weir", Subsystem: "upstream", Name: "request_duration_seconds",
		Help:           "Time from sending a request to another registry to its last byte, without the wait for the host's budget.",
		Buckets:        []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		StabilityLevel: metrics.ALPHA,
	}, []string{"registry", "kind"})
	registerMetrics = sync.OnceFunc(func() {
		legacyregistry.MustRegister(upstreamRequests, upstreamDuration)
	})
)

// observeRequests counts requests to other registries.
func observeRequests() upstream.Observer {
	registerMetrics()
	hosts := &boundedLabels{seen: map[string]bool{}}
	return upstream.ObserverFunc(func(o upstream.Observation) {
		host := hosts.label(o.Host)
		upstreamRequests.WithLabelValues(host, string(o.Kind), o.Outcome).Inc()
		upstreamDuration.WithLabelValues(host, string(o.Kind)).Observe(o.Duration.Seconds())
	})
}

// boundedLabels keeps anyone who imports from ever new hosts from filling the
// memory with their metrics.
type boundedLabels struct {
	mu   sync.Mutex
	seen map[string]bool
}

func (b *boundedLabels) label(value string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen[value] {
		return value
	}
	if len(b.seen) >= maxHosts {
		return "other"
	}
	b.seen[value] = true
	return value
}
