package imageimport

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"weir.dev/weir/internal/controller/importrequest"
	"weir.dev/weir/internal/stream"
)

// syncImport imports the tags of a stream that need an import from one registry.
func (r *run) syncImport(ctx context.Context, item importKey) error {
	key := item.NamespacedName
	s, err := r.stream(key.Namespace, key.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	isi := importrequest.Build(s, importrequest.OfHost(s, stream.ImportNeeds(s), item.host))
	if isi == nil {
		return nil
	}
	if !r.slots.acquire(item) {
		return nil // the end of another import puts it back into the queue
	}
	defer func() {
		for _, waiting := range r.slots.release(item.host) {
			r.imports.Add(waiting)
		}
	}()
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
	asked := map[string]time.Duration{}
	for tag, status := range importrequest.Failures(answer) {
		if pause := askedPause(&status); pause > 0 {
			asked[tag] = pause
		}
	}
	r.memory.addAsked(key, asked)
	return nil
}
