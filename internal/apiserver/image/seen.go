package image

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/stream"
)

// Seen returns an Image as the readers of a stream see it, see seenFrom. The caller
// must not change it. The error is the store's.
func (r *Registry) Seen(ctx context.Context, s *imagev1.ImageStream, name string) (*imagev1.Image, error) {
	img, err := r.stored(ctx, name)
	if err != nil {
		return nil, err
	}
	return seenFrom(img, s), nil
}

// seenFrom returns the view of an Image for readers of a stream: all of it if the Image is
// verified and the stream did more than name its digest, and if the Image is a claim of the
// stream itself; else only the identity of the object. The result shares memory with img.
func seenFrom(img *imagev1.Image, s *imagev1.ImageStream) *imagev1.Image {
	claimed := dockerimage.ClaimedBy(img) != ""
	if claimed && dockerimage.IsClaimOf(img, s.Namespace, s.Name) || !claimed && !stream.Unproven(s, img.Name) {
		return img
	}
	bare := &imagev1.Image{ObjectMeta: metav1.ObjectMeta{
		Name:              img.Name,
		UID:               img.UID,
		ResourceVersion:   img.ResourceVersion,
		CreationTimestamp: img.CreationTimestamp,
	}}
	dockerimage.FillEmptyMetadata(bare)
	return bare
}
