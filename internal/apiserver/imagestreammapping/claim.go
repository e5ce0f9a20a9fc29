package imagestreammapping

import (
	"context"
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// mayClaim refuses to map a known image for somebody who would get at content by it that
// is not theirs: what a stream has as an image of its own can be pulled from it, so that
// knowing a digest would otherwise be enough. One that was pushed to another stream takes
// the right to pull there, one that was imported the right to pull everywhere: its content
// may have been pushed since. Registries, which have seen the content, have both.
func (r *REST) mayClaim(ctx context.Context, m *imagev1.ImageStreamMapping, s *imagev1.ImageStream, stored *imagev1.Image) error {
	ref := stream.MappingReference(s, &m.Image, true)
	if hasEvent(s, m.Image.Name, ref) {
		return nil // and nothing is gained
	}
	becomesOwn := r.isHere(ref)
	home, err := reference.Parse(stored.DockerImageReference)
	managed := err == nil && stored.Annotations[imageapi.AnnotationManaged] == "true"
	switch {
	case managed && home.Namespace == m.Namespace && home.Name == m.Name:
		return nil
	case managed && (becomesOwn || r.isHere(stored.DockerImageReference)):
		return r.mayPull(ctx, m, home.Namespace, home.Name, fmt.Sprintf("image %s was pushed to a stream that the user may not pull from", stored.Name))
	case becomesOwn:
		return r.mayPull(ctx, m, "", "", fmt.Sprintf("image %s was imported; to map it as one that was pushed here takes the right to pull from all streams", stored.Name))
	}
	return nil // it is fetched from where it is
}

// hasEvent tells whether a stream has an image under that reference.
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

// isHere tells whether a pull spec is of the integrated registry.
func (r *REST) isHere(pullSpec string) bool {
	spec, err := reference.Parse(pullSpec)
	return err == nil && r.policy.Hosts.Has(spec.Registry)
}

func (r *REST) mayPull(ctx context.Context, m *imagev1.ImageStreamMapping, namespace, name, why string) error {
	u, ok := apirequest.UserFrom(ctx)
	if !ok {
		return apierrors.NewForbidden(imageapi.Resource(imageapi.ImageStreamMappings), m.Name, fmt.Errorf("the request names no user"))
	}
	if err := r.policy.MayPull(ctx, u, namespace, name); err != nil {
		return apierrors.NewForbidden(imageapi.Resource(imageapi.ImageStreamMappings), m.Name, fmt.Errorf("%s: %w", why, err))
	}
	return nil
}
