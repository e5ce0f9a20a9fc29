package imagetag

import (
	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"weir.dev/weir/internal/apiserver/tagview"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// view shows a tag of a stream and the image that its head names, if that is given.
// The metadata is the stream's. What it returns shares memory with both.
func view(s *imagev1.ImageStream, tag string, img *imagev1.Image) *imagev1.ImageTag {
	t := &imagev1.ImageTag{}
	fill(t, s, tag, img)
	return t
}

// fill is view into a zero value.
func fill(t *imagev1.ImageTag, s *imagev1.ImageStream, tag string, img *imagev1.Image) {
	t.ObjectMeta = s.ObjectMeta
	t.Name = reference.JoinStreamTag(s.Name, tag)
	specTag, statusTag := stream.SpecTag(s, tag), stream.StatusTag(s, tag)
	if specTag != nil {
		own := *specTag
		t.Spec = &own
	}
	if statusTag == nil {
		return
	}
	own := *statusTag
	t.Status = &own
	if img != nil && len(own.Items) > 0 {
		shown := tagview.Image(s, specTag, &own.Items[0], img)
		t.Image = &shown
	}
}

// put writes what an update wants into the spec of a stream: its spec tag, or none.
func put(s *imagev1.ImageStream, tag string, t *imagev1.ImageTag) error {
	if t.Spec == nil {
		if !stream.RemoveSpecTag(s, tag) && stream.StatusTag(s, tag) == nil {
			return apierrors.NewNotFound(imageapi.Resource(imageapi.ImageTags), t.Name)
		}
		return nil
	}
	specTag := *t.Spec
	specTag.Name = tag
	stream.SetSpecTag(s, specTag)
	return nil
}
