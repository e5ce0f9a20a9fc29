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
		Help:           "Image streams of 256 KiB or more, whose history should be shortened.",
		StabilityLevel: metrics.ALPHA,
	})
	largeBytes = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace:      "weir",
		Subsystem:      "controller",
		Name:           "large_streams_bytes",
		Help:           "Bytes of these image streams in storage.",
		StabilityLevel: metrics.ALPHA,
	})
	register sync.Once
)

// registerMetrics registers the metrics, once per process.
func registerMetrics() {
	register.Do(func() { legacyregistry.MustRegister(largeStreams, largeBytes) })
}
