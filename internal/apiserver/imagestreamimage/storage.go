// Package imagestreamimage provides the REST storage of imagestreamimages: one
// image of a stream's history, or a part of one, seen through the stream.
package imagestreamimage

import (
	"context"
	"errors"
	"slices"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/apiserver/image"
	"weir.dev/weir/internal/apiserver/imagestream"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageapi/table"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// REST serves imagestreamimages.
type REST struct {
	rest.TableConvertor
	streams *imagestream.Registry
	images  *image.Registry
}

var (
	_ rest.Getter               = (*REST)(nil)
	_ rest.Scoper               = (*REST)(nil)
	_ rest.ShortNamesProvider   = (*REST)(nil)
	_ rest.SingularNameProvider = (*REST)(nil)
	_ rest.TableConvertor       = (*REST)(nil)
)

// NewREST makes the storage.
func NewREST(streams *imagestream.Registry, images *image.Registry) *REST {
	return &REST{TableConvertor: table.ImageStreamImages(), streams: streams, images: images}
}

// New implements rest.Storage.
func (*REST) New() runtime.Object { return &imagev1.ImageStreamImage{} }

// Destroy has nothing to release.
func (*REST) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (*REST) NamespaceScoped() bool { return true }

// ShortNames implements rest.ShortNamesProvider.
func (*REST) ShortNames() []string { return []string{"isimage"} }

// GetSingularName implements rest.SingularNameProvider.
func (*REST) GetSingularName() string { return imageapi.SingularImageStreamImage }

// Get returns the image that name, "stream@id", stands for. The id may be
// shortened; it may be a part of a manifest list in the stream.
func (r *REST) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	streamName, id, err := reference.SplitStreamImage(name)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	s, err := r.streams.Get(ctx, streamName)
	if err != nil {
		return nil, err
	}
	imageName, err := r.find(ctx, s, id)
	if err != nil {
		return nil, statusOf(name, err)
	}
	img, err := r.images.Seen(ctx, s, imageName)
	if err != nil {
		return nil, err
	}
	return view(s, name, img), nil
}

// find returns the name of the one image of s that id stands for. The parts of
// lists are looked at only when no image of the history has that very name.
func (r *REST) find(ctx context.Context, s *imagev1.ImageStream, id string) (string, error) {
	names := stream.Images(s)
	if slices.Contains(names, id) {
		return id, nil
	}
	found, err := r.images.Reach(ctx, s, names)
	if err != nil {
		return "", err
	}
	names = names[:0]
	for _, f := range found {
		names = append(names, f.Name)
	}
	return stream.MatchImage(names, id)
}

// statusOf turns an error of find into what clients know.
func statusOf(name string, err error) error {
	var none *stream.ImageNotFoundError
	var several *stream.AmbiguousImageError
	switch {
	case errors.As(err, &none):
		return apierrors.NewNotFound(imageapi.Resource(imageapi.SingularImageStreamImage), name)
	case errors.As(err, &several):
		return apierrors.NewConflict(imageapi.Resource(imageapi.ImageStreamImages), name, several)
	}
	return err
}

// view shows an image as one of the stream's. Manifest and configuration are left
// out, as wherever an Image is part of another object. One that the stream may not
// see the description of has the reference that the stream has for it, if any.
func view(s *imagev1.ImageStream, name string, img *imagev1.Image) *imagev1.ImageStreamImage {
	shown := *img
	shown.DockerImageManifest, shown.DockerImageConfig = "", ""
	if shown.DockerImageReference == "" {
		if event, err := stream.FindEvent(s, img.Name); err == nil {
			shown.DockerImageReference = event.DockerImageReference
		}
	}
	return &imagev1.ImageStreamImage{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:         s.Namespace,
			Name:              name,
			CreationTimestamp: img.CreationTimestamp,
			Annotations:       s.Annotations,
		},
		Image: shown,
	}
}
