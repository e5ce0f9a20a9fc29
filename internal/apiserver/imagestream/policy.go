package imagestream

import (
	"context"
	"errors"
	"fmt"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/stream"
)

// Policy is what decides, beside the stream itself, what may be written.
type Policy struct {
	// Hosts are the names of the integrated registry.
	Hosts stream.Registries
	// MayPull asks whether a user may pull from a stream (get imagestreams/layers):
	// who may not, may not tag from it. A refusal is its error.
	MayPull func(ctx context.Context, u user.Info, namespace, name string) error
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (p Policy) now() metav1.Time {
	if p.Now == nil {
		return metav1.Now()
	}
	return metav1.NewTime(p.Now())
}

// admit validates a stream that is to be written, and resolves its tags.
//
// Trouble with what tags refer to is reported as clients know it: all of it in
// one cause of type InternalError without a field (see docs/compatibility).
func (s strategy) admit(ctx context.Context, is, old *imagev1.ImageStream) field.ErrorList {
	errs := field.ErrorList{}
	resolution := s.authorizeSources(ctx, is, old)
	resolver := stream.Resolver{Now: s.policy.now(), InternalHost: s.policy.Hosts.Internal, Source: func(namespace, name string) (*imagev1.ImageStream, error) {
		return s.streams.Get(apirequest.WithNamespace(ctx, namespace), name)
	}}
	if old == nil {
		resolver.Now = is.CreationTimestamp
	}
	resolution = append(resolution, resolver.Resolve(is, old)...)
	if len(resolution) > 0 {
		errs = append(errs, field.InternalError(field.NewPath(""), apierrors.NewInvalid(schema.GroupKind{Kind: imageapi.ImageStreams}, is.Name, resolution)))
	}
	return errs
}

// authorizeSources asks for access to the streams of other namespaces that new
// and changed tags are copied from.
func (s strategy) authorizeSources(ctx context.Context, is, old *imagev1.ImageStream) field.ErrorList {
	var errs field.ErrorList
	for _, source := range stream.CrossNamespaceSources(is, old) {
		if err := s.mayPull(ctx, source.Namespace, source.Name); err != nil {
			for _, tag := range source.Tags {
				errs = append(errs, field.Forbidden(stream.FromPath(tag), fmt.Sprintf("%s/%s: %v", source.Namespace, source.Name, err)))
			}
		}
	}
	return errs
}

func (s strategy) mayPull(ctx context.Context, namespace, name string) error {
	u, ok := apirequest.UserFrom(ctx)
	if !ok {
		return errors.New("the request names no user")
	}
	return s.policy.MayPull(ctx, u, namespace, name)
}

// admitStatus validates a status that is to be written.
func (s strategy) admitStatus(ctx context.Context, is, old *imagev1.ImageStream) field.ErrorList {
	return nil
}
