package imagestreammapping

import (
	"context"
	"errors"
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/stream"
)

// copySource returns the other stream whose repository in the integrated registry the
// image's reference names, nil if there is none. The writer needs the right to pull from it,
// as for a copied tag, because the content becomes readable in the stream s: without it the
// error is Forbidden. An event that the stream has already needs no right.
//
// A reference to the stream's own repository needs no right, because it makes nothing
// readable: only a push does.
func (r *REST) copySource(ctx context.Context, m *imagev1.ImageStreamMapping, s *imagev1.ImageStream) (*imagev1.ImageStream, error) {
	source, ok := stream.CopySourceOf(s, m.Image.DockerImageReference, r.policy.Hosts)
	if !ok || hasEvent(s, m.Image.Name, m.Image.DockerImageReference) {
		return nil, nil
	}
	forbidden := func(err error) error {
		return apierrors.NewForbidden(imageapi.Resource(imageapi.ImageStreamMappings), m.Name, err)
	}
	u, ok := apirequest.UserFrom(ctx)
	if !ok {
		return nil, forbidden(errors.New("the request has no user"))
	}
	if err := r.policy.MayPull(ctx, u, source.Namespace, source.Name); err != nil {
		return nil, forbidden(fmt.Errorf("image %s refers to image stream %s: %w", m.Image.Name, source, err))
	}
	from, err := r.streams.Get(apirequest.WithNamespace(ctx, source.Namespace), source.Name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return from, err
}

// hasEvent reports whether a stream has an image under that reference.
func hasEvent(s *imagev1.ImageStream, image, ref string) bool {
	for i := range s.Status.Tags {
		for _, event := range s.Status.Tags[i].Items {
			if event.Image == image && event.DockerImageReference == ref {
				return true
			}
		}
	}
	return false
}
