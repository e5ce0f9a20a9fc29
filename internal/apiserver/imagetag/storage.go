// Package imagetag provides the REST storage of imagetags: all that a stream has of
// one tag, what is wanted of it and what became of it.
package imagetag

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
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

// REST serves imagetags.
type REST struct {
	rest.TableConvertor
	streams *imagestream.Registry
	images  *image.Registry
	writer  tagview.Writer[*imagev1.ImageTag]
}

var (
	_ rest.Getter               = (*REST)(nil)
	_ rest.Lister               = (*REST)(nil)
	_ rest.Creater              = (*REST)(nil)
	_ rest.Updater              = (*REST)(nil)
	_ rest.Patcher              = (*REST)(nil)
	_ rest.GracefulDeleter      = (*REST)(nil)
	_ rest.Scoper               = (*REST)(nil)
	_ rest.ShortNamesProvider   = (*REST)(nil)
	_ rest.SingularNameProvider = (*REST)(nil)
	_ rest.TableConvertor       = (*REST)(nil)
)

// NewREST makes the storage. allowed is the list of registries that tags may name.
func NewREST(scheme *runtime.Scheme, streams *imagestream.Registry, images *image.Registry, allowed validation.RegistryAllower) *REST {
	resource := imageapi.Resource(imageapi.ImageTags)
	return &REST{
		TableConvertor: table.ImageTags(),
		streams:        streams,
		images:         images,
		writer: tagview.Writer[*imagev1.ImageTag]{
			Streams:  streams,
			Resource: resource,
			Taken:    resource,
			Strategy: newStrategy(scheme, allowed),
			View:     func(s *imagev1.ImageStream, tag string) *imagev1.ImageTag { return view(s, tag, nil) },
			SpecTag:  func(t *imagev1.ImageTag) *imagev1.TagReference { return t.Spec },
			Fields:   tagview.Fields{Spec: fieldpath.MakePathOrDie("spec")},
			Put:      put,
		},
	}
}

// New implements rest.Storage.
func (*REST) New() runtime.Object { return &imagev1.ImageTag{} }

// NewList implements rest.Lister.
func (*REST) NewList() runtime.Object { return &imagev1.ImageTagList{} }

// Destroy has nothing to release.
func (*REST) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (*REST) NamespaceScoped() bool { return true }

// ShortNames are what kubectl takes for the resource's name.
func (*REST) ShortNames() []string { return []string{"itag"} }

// GetSingularName implements rest.SingularNameProvider.
func (*REST) GetSingularName() string { return "imagetag" }

// Get returns a tag that is in spec or in status, with the image of its head if
// there is one.
func (r *REST) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	streamName, tag, err := reference.SplitStreamTag(name)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	s, err := r.streams.Get(ctx, streamName)
	if err != nil {
		return nil, err
	}
	if stream.SpecTag(s, tag) == nil && stream.StatusTag(s, tag) == nil {
		return nil, apierrors.NewNotFound(imageapi.Resource(imageapi.ImageTags), name)
	}
	return r.answer(ctx, s, tag)
}

// List returns all tags, without their images. It leaves out managedFields: they
// are of the stream and grow with its tags, and each tag would repeat them.
func (r *REST) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	tags, meta, err := tagview.List(ctx, r.streams.List, stream.TagNames, options)
	if err != nil {
		return nil, err
	}
	list := &imagev1.ImageTagList{ListMeta: meta, Items: make([]imagev1.ImageTag, len(tags))}
	for i, tag := range tags {
		fill(&list.Items[i], tag.Stream, tag.Name, nil)
		list.Items[i].ManagedFields = nil
	}
	return list, nil
}

// Create adds a tag to the spec of a stream, which is made if there is none.
func (r *REST) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	s, tag, err := r.writer.Create(ctx, obj, validate, options)
	if err != nil {
		return nil, err
	}
	return r.answer(ctx, s, tag)
}

// Update changes the spec tag of a stream, adds it, or removes it; the stream is
// made if there is none.
func (r *REST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	request := tagview.Request{Info: info, Create: create, Update: update}
	s, tag, created, err := r.writer.Update(ctx, name, request, options)
	if err != nil {
		return nil, false, err
	}
	obj, err := r.answer(ctx, s, tag)
	return obj, created, err
}

func (r *REST) answer(ctx context.Context, s *imagev1.ImageStream, tag string) (runtime.Object, error) {
	img, err := tagview.FindImage(ctx, r.images, s, stream.LatestEvent(s, tag))
	if err != nil {
		return nil, err
	}
	return view(s, tag, img), nil
}

// Delete takes a tag from spec and status of its stream.
func (r *REST) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions) (runtime.Object, bool, error) {
	if err := r.writer.Delete(ctx, name, validate, options); err != nil {
		return nil, false, err
	}
	return &metav1.Status{Status: metav1.StatusSuccess}, true, nil
}
