// Package imagestreamtag provides the REST storage of imagestreamtags: a tag of an
// image stream together with the image that it points to.
package imagestreamtag

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"weir.dev/weir/internal/apiserver/image"
	"weir.dev/weir/internal/apiserver/imagestream"
	"weir.dev/weir/internal/apiserver/tagview"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageapi/table"
	"weir.dev/weir/internal/imageapi/validation"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// REST is the storage of imagestreamtags.
type REST = tagview.REST[*imagev1.ImageStreamTag]

// NewREST returns the storage. allowed has the registries that tags may name.
func NewREST(scheme *runtime.Scheme, streams *imagestream.Registry, images *image.Registry, allowed validation.RegistryAllower) *REST {
	return tagview.NewREST(tagview.Kind[*imagev1.ImageStreamTag]{
		Resource:  imageapi.Resource(imageapi.ImageStreamTags),
		Taken:     imageapi.Resource(imageapi.SingularImageStreamTag),
		Singular:  imageapi.SingularImageStreamTag,
		ShortName: "istag",
		Table:     table.ImageStreamTags(),
		Strategy:  newStrategy(scheme, allowed),
		New:       func() *imagev1.ImageStreamTag { return &imagev1.ImageStreamTag{} },
		NewList:   func() runtime.Object { return &imagev1.ImageStreamTagList{} },
		View:      view,
		Shown:     shown,
		Listed:    withImage,
		List:      listOf,
		SpecTag:   func(t *imagev1.ImageStreamTag) *imagev1.TagReference { return t.Tag },
		Fields:    tagview.Fields{Spec: fieldpath.MakePathOrDie("tag"), Annotations: fieldpath.MakePathOrDie("metadata", "annotations")},
		Put:       put,
	}, streams, images)
}

// shown returns the Image of a tag. A tag without one, be it not imported yet or a mere reference,
// is not found.
func shown(ctx context.Context, images *image.Registry, s *imagev1.ImageStream, tag string) (*imagev1.Image, error) {
	head := stream.LatestEvent(s, tag)
	if head == nil || head.Image == "" {
		return nil, apierrors.NewNotFound(imageapi.Resource(imageapi.ImageStreamTags), reference.JoinStreamTag(s.Name, tag))
	}
	return images.Seen(ctx, s, head.Image)
}
