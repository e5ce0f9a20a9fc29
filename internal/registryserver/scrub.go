package registryserver

import (
	"context"
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore/scrub"
	"weir.dev/weir/internal/component"
)

// startScrubber starts to verify the registry's blobs in the background. Damage is reported by
// an Event in the namespace default about an Image of the blob's digest.
func (r *Registry) startScrubber(g *component.Group) error {
	settings := &r.settings().Registry.Storage
	if !settings.Scrub.Runs(settings.Driver) {
		return nil
	}
	scrubber, err := scrub.New(scrub.Options{
		Store:          r.store,
		BytesPerSecond: int64(settings.Scrub.BytesPerSecond),
		OnDamage: func(ctx context.Context, d scrub.Damage) {
			klog.FromContext(ctx).Error(d.Err, "A stored blob is damaged and is served no more until it is pushed or fetched again", "digest", d.Digest, "bytes", d.Size)
			r.events.Eventf(&imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: d.Digest.String()}}, nil, corev1.EventTypeWarning, reasonBlobDamaged, "Scrub",
				"stored data of blob %s (%d bytes) has another digest; push or import an image that has it", d.Digest, d.Size)
		},
	})
	if err != nil {
		return fmt.Errorf("making the scrubber of the registry's storage: %w", err)
	}
	g.Start("registry scrub", scrubber.Run)
	return nil
}
