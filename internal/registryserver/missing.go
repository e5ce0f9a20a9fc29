package registryserver

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/ociregistry"
)

const (
	// compareInterval is the time between two comparisons of streams with storage.
	compareInterval = 24 * time.Hour
	// comparedPerSecond bounds the images that are looked for, so that requests do not wait:
	// each is a few reads of small files.
	comparedPerSecond = 500
	// maxMissingReports bounds the Events and log lines of one comparison. The metric counts
	// all.
	maxMissingReports = 50
)

var (
	missingImages = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace: "weir", Subsystem: "registry", Name: "missing_images",
		Help:           "Images of image streams whose content was not in storage at the last comparison.",
		StabilityLevel: metrics.ALPHA,
	})
	registerMissing = sync.OnceFunc(func() { legacyregistry.MustRegister(missingImages) })
)

// compareContent compares image streams with storage, at the start and then daily, until ctx
// ends. After a restore without the registry's files, this is how the loss is noticed.
func (r *Registry) compareContent(ctx context.Context) error {
	registerMissing()
	if !cache.WaitForCacheSync(ctx.Done(), r.directory.HasSynced) {
		return nil // it is stopping
	}
	ticks := time.NewTicker(compareInterval)
	defer ticks.Stop()
	for {
		if err := r.compare(ctx); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Comparing image streams with the registry's storage failed, trying again", "in", compareInterval)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

// compare compares image streams with storage once.
func (r *Registry) compare(ctx context.Context) error {
	pace, missing := rate.NewLimiter(comparedPerSecond, 1), 0
	images, err := r.handler.FindMissing(ctx, pace.Wait, func(m ociregistry.Missing) error {
		if missing++; missing <= maxMissingReports {
			r.reportMissing(ctx, m)
		}
		return nil
	})
	missingImages.Set(float64(missing))
	if missing > 0 {
		klog.FromContext(ctx).Error(nil, "Content of images is not in the registry's storage. Restore the storage, or push the images again; weir verify lists them",
			"missing", missing, "images", images)
	}
	return err
}

// reportMissing writes a line of the log and an Event.
func (r *Registry) reportMissing(ctx context.Context, m ociregistry.Missing) {
	text := fmt.Sprintf("the registry has no link to manifest %s (tags %q)", m.Image, m.Tags)
	if !m.Link {
		text = fmt.Sprintf("the registry's storage does not have %d parts of image %s (tags %q), the first is %s", len(m.Parts), m.Image, m.Tags, m.Parts[0])
	}
	klog.FromContext(ctx).Error(nil, "The content of an image is missing", "repository", m.Repository, "image", m.Image, "tags", m.Tags, "linkMissing", m.Link, "dataMissing", m.Parts)
	r.warn(m.Repository, reasonContentMissing, "Compare", text+"; restore the storage or push the image again")
}
