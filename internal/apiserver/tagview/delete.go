package tagview

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/apiserver/imagestream"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// delete takes a tag from spec and status of its stream. Tags that copied from it
// keep what they have. Of preconditions the uid counts; the resourceVersion is that
// of the stream, which other tags move on.
func (w writer[T]) delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions) error {
	streamName, tag, err := reference.SplitStreamTag(name)
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	_, _, err = w.streams.Apply(ctx, streamName, imagestream.Write{DryRun: options.DryRun}, func(s *imagev1.ImageStream, _ bool) error {
		if stream.SpecTag(s, tag) == nil && stream.StatusTag(s, tag) == nil {
			return apierrors.NewNotFound(w.Resource, name)
		}
		if err := w.checkUID(options.Preconditions, s, name); err != nil {
			return err
		}
		if err := admit(ctx, validate, w.View(s, tag, nil)); err != nil {
			return err
		}
		stream.RemoveSpecTag(s, tag)
		stream.RemoveStatusTag(s, tag)
		return forgetTag(s, tag)
	})
	return err
}
