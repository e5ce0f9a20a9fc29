package registryserver

import (
	"context"
	"time"

	"k8s.io/klog/v2"
)

// collectInterval is the time between two looks for abandoned uploads.
const collectInterval = time.Hour

// collectUploads removes abandoned uploads until ctx ends.
func (r *Registry) collectUploads(ctx context.Context) error {
	ticks := time.NewTicker(collectInterval)
	defer ticks.Stop()
	for {
		removed, err := r.store.RemoveAbandonedUploads(ctx, r.settings().Registry.Uploads.MaxAge.Duration)
		if err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "abandoned uploads could not be removed; trying again", "in", collectInterval)
		}
		if removed > 0 {
			klog.FromContext(ctx).Info("removed abandoned uploads", "count", removed)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}
