package imagestreammapping

import (
	"fmt"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/stream"
)

// retrySeconds is the Retry-After while the limits are not known.
const retrySeconds = 1

// checkImageLimit compares the size of the image with the smallest maximum that
// limit ranges of type openshift.io/Image set in the namespace. What exceeds it is
// forbidden; clients recognise the words "exceeds the maximum limit".
func checkImageLimit(m *imagev1.ImageStreamMapping, limitRanges func(namespace string) ([]*corev1.LimitRange, error), now time.Time) error {
	ranges, err := limitRanges(m.Namespace)
	if err != nil {
		return notYet(m, err)
	}
	bound := stream.BoundOf(ranges, imagev1.LimitTypeImage, corev1.ResourceStorage)
	if bound == nil {
		return nil
	}
	size := resource.NewQuantity(imageSize(&m.Image, now), resource.BinarySI)
	if size.Cmp(bound.Max) <= 0 {
		return nil
	}
	return apierrors.NewForbidden(imageapi.Resource(imageapi.ImageStreamMappings), m.Name,
		fmt.Errorf("requested usage of %s exceeds the maximum limit per %s (%s > %s), set by LimitRange %s to %d bytes", corev1.ResourceStorage, imagev1.LimitTypeImage, size, &bound.Max, bound.LimitRange, bound.Max.Value()))
}

// notYet asks the client to come back.
func notYet(m *imagev1.ImageStreamMapping, err error) error {
	forbidden := apierrors.NewForbidden(imageapi.Resource(imageapi.ImageStreamMappings), m.Name, fmt.Errorf("reading the limit ranges of namespace %s: %w", m.Namespace, err))
	forbidden.ErrStatus.Details.RetryAfterSeconds = retrySeconds
	return forbidden
}

// imageSize is the size that the stored Image is going to have: from manifest and
// configuration if it comes with them, else as submitted. An image with a manifest is never
// smaller than its layers: where the manifest cannot be read, nothing else counts them.
func imageSize(submitted *imagev1.Image, now time.Time) int64 {
	img := submitted.DeepCopy()
	// Text that cannot be read does not keep an image from being stored, nor here
	// from being measured by what it says about itself.
	_ = dockerimage.Fill(img, now)
	var size int64
	if metadata, err := dockerimage.Metadata(img); err == nil {
		size = metadata.Size
	}
	if submitted.DockerImageManifest != "" {
		size = max(size, dockerimage.Size("", 0, img.DockerImageLayers))
	}
	return size
}
