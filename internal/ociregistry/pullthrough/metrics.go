package pullthrough

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// Values of the label kind.
const (
	kindManifest = "manifest"
	kindBlob     = "blob"
	kindStream   = "stream" // a blob that is not kept
)

// kindSize is the kind of a request for a size only; it is not a label.
const kindSize = "size"

// outcomeNotKept is the outcome of a fetch whose content was delivered but could not be
// stored.
const outcomeNotKept = "NotKept"

// The metrics of all Mirrors of the process.
var (
	fetchesTotal = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry_pullthrough", Name: "fetches_total",
		Help:           "Content fetched from other registries, by kind (manifest, blob, stream: a blob that is not kept) and outcome (Success, NotKept: storage failed, or the kind of failure).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"kind", "outcome"})
	fetchesInFlight = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace: "weir", Subsystem: "registry_pullthrough", Name: "fetches_in_flight",
		Help:           "Content being fetched from other registries, by kind (manifest, blob, stream).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"kind"})
	backgroundFetches = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace: "weir", Subsystem: "registry_pullthrough", Name: "background_fetches",
		Help:           "Blobs being fetched without any waiting client.",
		StabilityLevel: metrics.ALPHA,
	})
	sharedTotal = metrics.NewCounter(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry_pullthrough", Name: "shared_total",
		Help:           "Blob requests that joined a fetch in progress.",
		StabilityLevel: metrics.ALPHA,
	})
	resumesTotal = metrics.NewCounter(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry_pullthrough", Name: "resumes_total",
		Help:           "Resumed blob downloads after a broken connection.",
		StabilityLevel: metrics.ALPHA,
	})
	receivedBytes = metrics.NewCounter(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry_pullthrough", Name: "received_bytes_total",
		Help:           "Bytes of blobs and manifests received from other registries.",
		StabilityLevel: metrics.ALPHA,
	})
	mirroredBytes = metrics.NewCounter(&metrics.CounterOpts{
		Namespace: "weir", Subsystem: "registry_pullthrough", Name: "mirrored_bytes_total",
		Help:           "Bytes of blobs and manifests from other registries, verified and stored.",
		StabilityLevel: metrics.ALPHA,
	})
	registerMetrics = sync.OnceFunc(func() {
		legacyregistry.MustRegister(fetchesTotal, fetchesInFlight, backgroundFetches, sharedTotal, resumesTotal, receivedBytes, mirroredBytes)
	})
)
