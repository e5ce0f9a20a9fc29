package imageimport

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	_ "k8s.io/component-base/metrics/prometheus/workqueue" // depth and latency of the queues
)

var (
	retriesPending = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace:      "weir",
		Subsystem:      "controller",
		Name:           "import_retries_pending",
		Help:           "Tags whose import failed and that wait for a retry.",
		StabilityLevel: metrics.ALPHA,
	})
	eventsDropped = metrics.NewCounter(&metrics.CounterOpts{
		Namespace:      "weir",
		Subsystem:      "controller",
		Name:           "import_events_dropped_total",
		Help:           "Kubernetes Events about imports that were dropped by the rate limit.",
		StabilityLevel: metrics.ALPHA,
	})
	register sync.Once
)

// registerMetrics registers the metrics, once per process.
func registerMetrics() {
	register.Do(func() { legacyregistry.MustRegister(retriesPending, eventsDropped) })
}
