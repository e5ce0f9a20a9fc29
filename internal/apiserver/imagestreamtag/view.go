package imagestreamtag

import (
	"cmp"
	"fmt"
	"maps"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"weir.dev/weir/internal/apiserver/tagview"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// view shows a tag of a stream and the image that its head names, as far as that is
// given; the annotations of the spec tag are laid over those of the image. What it returns shares
// memory with both.
func view(s *imagev1.ImageStream, tag string, img *imagev1.Image) *imagev1.ImageStreamTag {
	t := &imagev1.ImageStreamTag{}
	fill(t, s, tag, img)
	return t
}

// fill is view into a zero value.
func fill(t *imagev1.ImageStreamTag, s *imagev1.ImageStream, tag string, img *imagev1.Image) {
	t.ObjectMeta = metav1.ObjectMeta{
		Namespace:         s.Namespace,
		Name:              reference.JoinStreamTag(s.Name, tag),
		UID:               s.UID,
		ResourceVersion:   s.ResourceVersion,
		CreationTimestamp: s.CreationTimestamp,
		Labels:            s.Labels,
	}
	t.LookupPolicy = s.Spec.LookupPolicy
	specTag, statusTag := stream.SpecTag(s, tag), stream.StatusTag(s, tag)
	if specTag != nil {
		own := *specTag
		t.Tag, t.Annotations = &own, own.Annotations
	}
	var head *imagev1.TagEvent
	if statusTag != nil {
		t.Conditions = statusTag.Conditions
		// A reference has a head without an image, which this view shows as no head.
		if len(statusTag.Items) > 0 && statusTag.Items[0].Image != "" {
			head = &statusTag.Items[0]
			t.CreationTimestamp, t.Generation = head.Created, head.Generation
		}
	}
	t.Image = tagview.Image(s, specTag, head, img)
	if img != nil && specTag != nil && len(specTag.Annotations) > 0 {
		t.Image.Annotations = make(map[string]string, len(img.Annotations)+len(specTag.Annotations))
		maps.Copy(t.Image.Annotations, img.Annotations)
		maps.Copy(t.Image.Annotations, specTag.Annotations)
	}
}

// withImage are the tags of a stream that lists show: those that point to an image.
func withImage(s *imagev1.ImageStream) []string {
	names := make([]string, 0, len(s.Status.Tags))
	for i := range s.Status.Tags {
		if tag := &s.Status.Tags[i]; len(tag.Items) > 0 && tag.Items[0].Image != "" {
			names = append(names, tag.Tag)
		}
	}
	return names
}

// listOf is a list of tags without their images.
func listOf(tags []tagview.Tag, meta metav1.ListMeta) runtime.Object {
	list := &imagev1.ImageStreamTagList{ListMeta: meta, Items: make([]imagev1.ImageStreamTag, len(tags))}
	for i, tag := range tags {
		fill(&list.Items[i], tag.Stream, tag.Name, nil)
	}
	return list
}

// put writes what an update wants into the spec of a stream: the tag, or the one
// that is there, with the annotations of the object in place of its own.
func put(s *imagev1.ImageStream, tag string, t *imagev1.ImageStreamTag) error {
	wanted := cmp.Or(t.Tag, stream.SpecTag(s, tag))
	if wanted == nil {
		return apierrors.NewBadRequest(fmt.Sprintf("%s/%s has no spec tag %q to be changed, and the request brings none", s.Namespace, s.Name, tag))
	}
	specTag := *wanted
	specTag.Name, specTag.Annotations = tag, t.Annotations
	stream.SetSpecTag(s, specTag)
	return nil
}
