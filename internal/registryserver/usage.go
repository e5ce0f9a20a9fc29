package registryserver

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
)

// Time between two looks at what storage is used for: on a filesystem, and in an object store,
// which is requested for each thousand files or even for each.
const (
	usageInterval       = time.Hour
	usageIntervalObject = 24 * time.Hour
)

// The metrics of the registry's storage.
var (
	storageBytes = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace: "weir", Subsystem: "registry", Name: "storage_bytes",
		Help: "Bytes in the registry's storage when it was last measured: blobs with a link (linked), without one from another registry (kept), " +
			"with neither (unreferenced), damaged, and uploads.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"kind"})
	storageMeasured = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace: "weir", Subsystem: "registry", Name: "storage_measured_timestamp_seconds",
		Help:           "When the bytes in the registry's storage were last measured, in seconds since 1970; 0 before the first time.",
		StabilityLevel: metrics.ALPHA,
	})
	registerUsageMetrics = sync.OnceFunc(func() { legacyregistry.MustRegister(storageBytes, storageMeasured) })
)

// measureUsage measures what storage is used for, at the start and then regularly, until ctx ends.
func (r *Registry) measureUsage(ctx context.Context) error {
	registerUsageMetrics()
	interval := usageInterval
	if r.settings().Registry.Storage.Driver != "filesystem" {
		interval = usageIntervalObject
	}
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		usage, err := r.store.MeasureUsage(ctx)
		switch {
		case err == nil:
			showUsage(usage)
		case errors.Is(err, blobstore.ErrManyLinks):
			klog.FromContext(ctx).Error(err, "weir_registry_storage_bytes is not measured")
			return nil
		case ctx.Err() == nil:
			klog.FromContext(ctx).Error(err, "weir_registry_storage_bytes could not be measured; trying again", "in", interval)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

func showUsage(u blobstore.Usage) {
	for kind, bytes := range map[string]int64{
		"linked": u.Linked, "kept": u.Kept, "unreferenced": u.Unreferenced, "damaged": u.Damaged, "upload": u.Uploads,
	} {
		storageBytes.WithLabelValues(kind).Set(float64(bytes))
	}
	storageMeasured.SetToCurrentTime()
}
