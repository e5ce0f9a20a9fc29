package tagview

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/apiserver/image"
	"weir.dev/weir/internal/apiserver/imagestream"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// Kind describes one of the two resources that show tags, as objects of type T.
type Kind[T Object] struct {
	// Resource labels errors about tags; those about streams and Images are labelled
	// by their stores.
	Resource schema.GroupResource
	// Taken labels the error about a tag that exists already.
	Taken               schema.GroupResource
	Singular, ShortName string
	Table               rest.TableConvertor
	Strategy            Strategy

	// New and NewList return empty objects.
	New     func() T
	NewList func() runtime.Object
	// View shows a tag of a stream, which may be in neither spec nor status, with the image of its
	// head, nil without one. It may share memory with both.
	View func(s *imagev1.ImageStream, tag string, img *imagev1.Image) T
	// Shown returns the image of a tag that a GET shows, and an API error for a tag that it does
	// not show. The image may be nil.
	Shown func(ctx context.Context, images *image.Registry, s *imagev1.ImageStream, tag string) (*imagev1.Image, error)
	// Listed returns the tags of a stream that lists have, in order, and List a list of them
	// without their images.
	Listed func(*imagev1.ImageStream) []string
	List   func([]Tag, metav1.ListMeta) runtime.Object

	// SpecTag returns the object's tag for spec, nil for none.
	SpecTag func(T) *imagev1.TagReference
	// Fields are the places of the spec tag in the object.
	Fields Fields
	// Put makes the stream's spec that of an updated object. Its error is an API error.
	Put func(s *imagev1.ImageStream, tag string, t T) error
}

// REST is the storage of one of the resources.
type REST[T Object] struct {
	rest.TableConvertor
	kind    Kind[T]
	streams *imagestream.Registry
	images  *image.Registry
	writer  writer[T]
}

type storage interface {
	rest.Getter
	rest.Lister
	rest.Creater
	rest.Updater
	rest.Patcher
	rest.GracefulDeleter
	rest.Scoper
	rest.ShortNamesProvider
	rest.SingularNameProvider
	rest.TableConvertor
}

var _ storage = (*REST[*imagev1.ImageTag])(nil)

// NewREST returns the storage of a resource over streams and Images.
func NewREST[T Object](kind Kind[T], streams *imagestream.Registry, images *image.Registry) *REST[T] {
	return &REST[T]{TableConvertor: kind.Table, kind: kind, streams: streams, images: images, writer: writer[T]{Kind: kind, streams: streams}}
}

// New implements rest.Storage.
func (r *REST[T]) New() runtime.Object { return r.kind.New() }

// NewList implements rest.Lister.
func (r *REST[T]) NewList() runtime.Object { return r.kind.NewList() }

// Destroy implements rest.Storage. There is nothing to release.
func (*REST[T]) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (*REST[T]) NamespaceScoped() bool { return true }

// ShortNames implements rest.ShortNamesProvider.
func (r *REST[T]) ShortNames() []string { return []string{r.kind.ShortName} }

// GetSingularName implements rest.SingularNameProvider.
func (r *REST[T]) GetSingularName() string { return r.kind.Singular }

// Get implements rest.Getter.
func (r *REST[T]) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	streamName, tag, err := reference.SplitStreamTag(name)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	s, err := r.streams.Get(ctx, streamName)
	if err != nil {
		return nil, err
	}
	img, err := r.kind.Shown(ctx, r.images, s, tag)
	if err != nil {
		return nil, err
	}
	return r.kind.View(s, tag, img), nil
}

// List implements rest.Lister.
func (r *REST[T]) List(ctx context.Context, options *metainternalversion.ListOptions) (runtime.Object, error) {
	tags, meta, err := List(ctx, r.streams.List, r.kind.Listed, options)
	if err != nil {
		return nil, err
	}
	return r.kind.List(tags, meta), nil
}

// Create adds a tag to the spec of a stream, which is created if it does not exist.
func (r *REST[T]) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	s, tag, err := r.writer.create(ctx, obj, validate, options)
	if err != nil {
		return nil, err
	}
	return r.written(ctx, s, tag)
}

// Update changes, adds or removes the spec tag of a stream, which is created if it does not exist.
func (r *REST[T]) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	s, tag, created, err := r.writer.update(ctx, name, request{info: info, create: create, update: update}, options)
	if err != nil {
		return nil, false, err
	}
	obj, err := r.written(ctx, s, tag)
	return obj, created, err
}

// written returns the object of a tag after a write, whether or not it points to an image yet.
func (r *REST[T]) written(ctx context.Context, s *imagev1.ImageStream, tag string) (runtime.Object, error) {
	img, err := FindImage(ctx, r.images, s, stream.LatestEvent(s, tag))
	if err != nil {
		return nil, err
	}
	return r.kind.View(s, tag, img), nil
}

// Delete removes a tag from spec and status of its stream.
func (r *REST[T]) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions) (runtime.Object, bool, error) {
	if err := r.writer.delete(ctx, name, validate, options); err != nil {
		return nil, false, err
	}
	return &metav1.Status{Status: metav1.StatusSuccess}, true, nil
}
