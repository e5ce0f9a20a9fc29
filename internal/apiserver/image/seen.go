package image

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/imageapi/dockerimage"
)

// Seen returns an Image as the readers of a stream see it, see SeenFrom. The caller
// must not change it. The error is the store's.
func (r *Registry) Seen(ctx context.Context, s *imagev1.ImageStream, name string) (*imagev1.Image, error) {
	img, err := r.get(ctx, name)
	if err != nil {
		return nil, err
	}
	return SeenFrom(img, s.Namespace, s.Name), nil
}

// SeenFrom is what a stream's readers see of an Image: all of it, or, if it is only
// claimed by another stream, the identity of the object and nothing of what its
// author wrote. It shares memory with img.
func SeenFrom(img *imagev1.Image, namespace, stream string) *imagev1.Image {
	if dockerimage.ClaimedBy(img) == "" || dockerimage.IsClaimOf(img, namespace, stream) {
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
