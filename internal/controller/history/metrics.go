package history

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	largeStreams = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace:      "weir",
		Subsystem:      "controller",
		Name:           "large_streams",
		Help:           "Image streams of 256 KiB or more; shorten their history.",
		StabilityLevel: metrics.ALPHA,
	})
	largeBytes = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace:      "weir",
		Subsystem:      "controller",
		Name:           "large_streams_bytes",
		Help:           "Stored bytes of these image streams.",
		StabilityLevel: metrics.ALPHA,
	})
	register sync.Once
)

// registerMetrics puts the metrics into the process's registry, once however many
// controllers there are.
func registerMetrics() {
	register.Do(func() { legacyregistry.MustRegister(largeStreams, largeBytes) })
}
