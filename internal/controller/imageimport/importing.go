package imageimport

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/controller/importrequest"
	"weir.dev/weir/internal/stream"
)

// syncImport imports what a stream wants now.
func (r *run) syncImport(ctx context.Context, key types.NamespacedName) error {
	s, err := r.stream(key.Namespace, key.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	isi := importrequest.Build(s, stream.ImportNeeds(s))
	if isi == nil {
		return nil
	}
	r.memory.beginImport(key)
	defer r.lookAtRetries(key) // they waited; and there may be new failures
	defer r.memory.endImport(key)
	answer, err := r.post(ctx, isi, importrequest.WhySpec)
	if apierrors.IsNotFound(err) {
		return nil // the stream is gone
	}
	if err != nil {
		return err
	}
	failures := importrequest.Failures(answer)
	asked := map[string]time.Duration{}
	for tag, status := range failures {
		if pause := askedPause(&status); pause > 0 {
			asked[tag] = pause
		}
	}
	r.memory.setAsked(key, asked)
	klog.FromContext(ctx).V(2).Info("Imported", "images", len(isi.Spec.Images), "failed", len(failures))
	return nil
}
