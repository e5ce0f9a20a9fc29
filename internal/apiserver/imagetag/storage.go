// Package imagetag provides the REST storage of imagetags: spec and status of one tag of a stream,
// and its image.
package imagetag

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// REST is the storage of imagetags.
type REST = tagview.REST[*imagev1.ImageTag]

// NewREST returns the storage. allowed has the registries that tags may name.
func NewREST(scheme *runtime.Scheme, streams *imagestream.Registry, images *image.Registry, allowed validation.RegistryAllower) *REST {
	return tagview.NewREST(tagview.Kind[*imagev1.ImageTag]{
		Resource:  imageapi.Resource(imageapi.ImageTags),
		Taken:     imageapi.Resource(imageapi.ImageTags),
		Singular:  "imagetag",
		ShortName: "itag",
		Table:     table.ImageTags(),
		Strategy:  newStrategy(scheme, allowed),
		New:       func() *imagev1.ImageTag { return &imagev1.ImageTag{} },
		NewList:   func() runtime.Object { return &imagev1.ImageTagList{} },
		View:      view,
		Shown:     shown,
		Listed:    stream.TagNames,
		List:      listOf,
		SpecTag:   func(t *imagev1.ImageTag) *imagev1.TagReference { return t.Spec },
		Fields:    tagview.Fields{Spec: fieldpath.MakePathOrDie("spec")},
		Put:       put,
	}, streams, images)
}

// shown returns the image of the head of a tag, nil without one. A tag that is in neither spec nor
// status is not found.
func shown(ctx context.Context, images *image.Registry, s *imagev1.ImageStream, tag string) (*imagev1.Image, error) {
	if stream.SpecTag(s, tag) == nil && stream.StatusTag(s, tag) == nil {
		return nil, apierrors.NewNotFound(imageapi.Resource(imageapi.ImageTags), reference.JoinStreamTag(s.Name, tag))
	}
	return tagview.FindImage(ctx, images, s, stream.LatestEvent(s, tag))
}

// listOf returns a list of tags without their images. It leaves out managedFields: they are those of
// the stream and grow with its tags, and each tag would repeat them.
func listOf(tags []tagview.Tag, meta metav1.ListMeta) runtime.Object {
	list := &imagev1.ImageTagList{ListMeta: meta, Items: make([]imagev1.ImageTag, len(tags))}
	for i, tag := range tags {
		fill(&list.Items[i], tag.Stream, tag.Name, nil)
		list.Items[i].ManagedFields = nil
	}
	return list
}
