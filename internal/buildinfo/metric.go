package buildinfo

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// RegisterMetric adds weir_build_info to the metrics of the process.
var RegisterMetric = sync.OnceFunc(func() {
	gauge := metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace: "weir", Name: "build_info", StabilityLevel: metrics.ALPHA,
		Help: "The version of this program, of Go and of the Kubernetes control plane inside; always 1.",
	}, []string{"version", "commit", "go", "kubernetes"})
	legacyregistry.MustRegister(gauge)
	b := Get()
	gauge.WithLabelValues(b.Version, b.Commit, b.Go, b.Kubernetes).Set(1)
})
