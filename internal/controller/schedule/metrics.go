package schedule

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	lag = metrics.NewHistogram(&metrics.HistogramOpts{
		Namespace:      "weir",
		Subsystem:      "controller",
		Name:           "scheduled_import_lag_seconds",
		Help:           "Time from the due time of a scheduled import to its start.",
		Buckets:        []float64{.1, .5, 1, 5, 15, 60, 300, 900, 3600},
		StabilityLevel: metrics.ALPHA,
	})
	groupsTracked = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace:      "weir",
		Subsystem:      "controller",
		Name:           "scheduled_import_groups",
		Help:           "Groups of scheduled tags that are checked together.",
		StabilityLevel: metrics.ALPHA,
	})
	behindSeconds = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace:      "weir",
		Subsystem:      "controller",
		Name:           "scheduled_import_behind_seconds",
		Help:           "Time that the longest waiting due scheduled import has waited.",
		StabilityLevel: metrics.ALPHA,
	})
	capPerMinute = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace:      "weir",
		Subsystem:      "controller",
		Name:           "scheduled_import_cap_per_minute",
		Help:           "Maximum of scheduled imports per minute; 0 is without bound.",
		StabilityLevel: metrics.ALPHA,
	})
	register sync.Once
)

// registerMetrics registers the metrics, once per process.
func registerMetrics() {
	register.Do(func() { legacyregistry.MustRegister(lag, groupsTracked, behindSeconds, capPerMinute) })
}
