package imagestreammapping

import (
	"context"
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/reference"
)

// mayClaim refuses to map an image that was pushed to another stream for somebody who may
// not pull it there: what a stream's history has can be pulled from it, so that knowing a
// digest would otherwise be enough. Registries, which have seen the content, may pull
// everywhere.
func (r *REST) mayClaim(ctx context.Context, m *imagev1.ImageStreamMapping, stored *imagev1.Image) error {
	if stored.Annotations[imageapi.AnnotationManaged] != "true" {
		return nil
	}
	home, err := reference.Parse(stored.DockerImageReference)
	if err != nil || home.Registry != r.policy.Hosts.Internal || home.Registry == "" {
		return nil // not content of the integrated registry
	}
	if home.Namespace == m.Namespace && home.Name == m.Name {
		return nil
	}
	u, ok := apirequest.UserFrom(ctx)
	if !ok {
		return apierrors.NewForbidden(imageapi.Resource(imageapi.ImageStreamMappings), m.Name, fmt.Errorf("the request names no user"))
	}
	if err := r.policy.MayPull(ctx, u, home.Namespace, home.Name); err != nil {
		return apierrors.NewForbidden(imageapi.Resource(imageapi.ImageStreamMappings), m.Name,
			fmt.Errorf("image %s was pushed to a stream that the user may not pull from: %w", stored.Name, err))
	}
	return nil
}
