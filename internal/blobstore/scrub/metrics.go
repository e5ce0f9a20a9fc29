package scrub

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// The metrics of all Scrubbers of the process.
var (
	blobsTotal = metrics.NewCounter(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry_scrub", Name: "blobs_total",
		Help:           "Stored blobs whose digest was verified, including damaged ones.",
		StabilityLevel: metrics.ALPHA,
	})
	bytesTotal = metrics.NewCounter(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry_scrub", Name: "bytes_total",
		Help:           "Bytes of stored blobs read to verify their digests.",
		StabilityLevel: metrics.ALPHA,
	})
	damagedTotal = metrics.NewCounter(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry_scrub", Name: "damaged_blobs_total",
		Help:           "Stored blobs found damaged.",
		StabilityLevel: metrics.ALPHA,
	})
	failuresTotal = metrics.NewCounter(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry_scrub", Name: "failures_total",
		Help:           "Stored blobs that could not be read to verify their digests.",
		StabilityLevel: metrics.ALPHA,
	})
	lastRound = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace: "weir", Subsystem: "registry_scrub", Name: "last_round_timestamp_seconds",
		Help:           "Unix time at which the last round over all stored blobs ended; 0 before the first one.",
		StabilityLevel: metrics.ALPHA,
	})
	registerMetrics = sync.OnceFunc(func() {
		legacyregistry.MustRegister(blobsTotal, bytesTotal, damagedTotal, failuresTotal, lastRound)
	})
)
