package tagview

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"weir.dev/weir/internal/apiserver/image"
	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/stream"
)

// undescribed is an image that nothing is known of, completed as the encoder would
// complete it. All such images share the one document, so that a list of thousands
// is not copied and completed on its way out.
var undescribed = func() (img imagev1.Image) {
	dockerimage.FillEmptyMetadata(&img)
	return img
}()

// Image returns the image of a head as a tag shows it: where to pull it from
// by the policy of specTag, its manifest and configuration left out. Without img, it has a
// name and a reference.
// specTag, head and img may be nil; they are not changed, but share memory with
// what is returned.
func Image(s *imagev1.ImageStream, specTag *imagev1.TagReference, head *imagev1.TagEvent, img *imagev1.Image) imagev1.Image {
	if head == nil {
		return undescribed
	}
	if img == nil {
		shown := undescribed
		shown.Name = head.Image
		shown.DockerImageReference = stream.ResolveEvent(s, specTag, head)
		return shown
	}
	shown := *img
	shown.DockerImageManifest, shown.DockerImageConfig = "", ""
	shown.DockerImageReference = stream.ResolveEvent(s, specTag, head)
	return shown
}

// FindImage finds the image that a head of a stream names, as the stream's readers
// see it. It is nil for a head without an image, no head, and an Image that is gone.
func FindImage(ctx context.Context, images *image.Registry, s *imagev1.ImageStream, head *imagev1.TagEvent) (*imagev1.Image, error) {
	if head == nil || head.Image == "" {
		return nil, nil
	}
	img, err := images.Seen(ctx, s, head.Image)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return img, err
}
