package imagestream

import (
	"context"
	"errors"
	"fmt"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"weir.dev/weir/internal/apiserver/updates"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageapi/validation"
	"weir.dev/weir/internal/stream"
)

// Policy decides, beside the stream itself, which writes are allowed.
type Policy struct {
	// Hosts are the names of the integrated registry.
	Hosts stream.Registries
	// MayPull asks whether a user may pull from a stream (get imagestreams/layers):
	// who may not, may not tag from it. A refusal is its error.
	MayPull func(ctx context.Context, u user.Info, namespace, name string) error
	// MayUpdateImages asks whether a user may update Images in the whole cluster, as
	// registries may: what such a user writes into a status counts as verified. A refusal is
	// its error; nil refuses all.
	MayUpdateImages func(ctx context.Context, u user.Info) error
	// Allowed is the list of registries that images may come from.
	Allowed validation.RegistryAllower
	// LimitRanges are those of a namespace; an error keeps streams from being
	// written until they are known.
	LimitRanges func(namespace string) ([]*corev1.LimitRange, error)
	// Intervals are how often scheduled tags are looked at; writers of annotations that have no
	// effect are warned.
	Intervals stream.Intervals
	// Moved is called with the moved tags and the cause after each such write. It must not change
	// the stream. nil is not called.
	Moved func(s *imagev1.ImageStream, moves []stream.Move, cause string)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (p Policy) now() metav1.Time {
	if p.Now == nil {
		return metav1.Now()
	}
	return metav1.NewTime(p.Now())
}

func (p Policy) mayUpdateImages(ctx context.Context) bool {
	u, ok := apirequest.UserFrom(ctx)
	return ok && p.MayUpdateImages != nil && p.MayUpdateImages(ctx, u) == nil
}

// admit validates a stream that is to be written, and resolves its tags.
//
// Trouble with what tags refer to, and with limits, is reported as clients know
// it: each in one cause of type InternalError without a field, the API's own
// error as its text (docs/resources/imagestreams.md).
func (s strategy) admit(ctx context.Context, is, old *imagev1.ImageStream) field.ErrorList {
	resolution := append(s.authorizeSources(ctx, is, old), s.resolver(ctx, is, old).Resolve(is, old)...)
	stream.LimitHistory(is)
	stream.PruneCopySources(is)
	stream.PruneUnproven(is)
	var errs field.ErrorList
	if old == nil {
		errs = validation.ImageStream(is, s.policy.Allowed)
	} else {
		errs = validation.ImageStreamUpdate(is, old, s.policy.Allowed)
	}
	if len(resolution) > 0 {
		errs = append(errs, field.InternalError(field.NewPath(""), apierrors.NewInvalid(schema.GroupKind{Kind: imageapi.ImageStreams}, is.Name, resolution)))
	}
	errs = append(errs, historyLimit(is, old)...)
	errs = append(errs, size(is, old)...)
	if err := s.checkLimits(is, old); err != nil {
		errs = append(errs, field.InternalError(field.NewPath(""), err))
	}
	if old != nil {
		updates.KeepManagersIfUnchanged(is, old)
	}
	return errs
}

func (s strategy) resolver(ctx context.Context, is, old *imagev1.ImageStream) stream.Resolver {
	now := s.policy.now()
	if old == nil {
		now = is.CreationTimestamp
	}
	return stream.Resolver{
		Now:   now,
		Hosts: s.policy.Hosts,
		Source: func(namespace, name string) (*imagev1.ImageStream, error) {
			return s.streams.Get(apirequest.WithNamespace(ctx, namespace), name)
		},
	}
}

// authorizeSources reviews access to the streams of other namespaces that new
// and changed tags are copied from.
func (s strategy) authorizeSources(ctx context.Context, is, old *imagev1.ImageStream) field.ErrorList {
	var errs field.ErrorList
	for _, source := range stream.CrossNamespaceSources(is, old) {
		err := s.mayPull(ctx, source.Namespace, source.Name)
		if err == nil {
			continue
		}
		for _, tag := range source.Tags {
			errs = append(errs, field.Forbidden(stream.FromPath(tag), fmt.Sprintf("%s/%s: %v", source.Namespace, source.Name, err)))
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

// checkLimits compares the stream with the limit ranges of its namespace. The error is Forbidden.
func (s strategy) checkLimits(is, old *imagev1.ImageStream) error {
	ranges, err := s.policy.LimitRanges(is.Namespace)
	if err == nil {
		var errs []error
		for _, exceeded := range stream.CheckLimits(is, old, stream.LimitsOf(ranges)) {
			errs = append(errs, exceeded)
		}
		err = utilerrors.NewAggregate(errs)
	}
	if err == nil {
		return nil
	}
	return apierrors.NewForbidden(imageapi.Resource(imageapi.KindImageStream), is.Name, err)
}

// admitStatus validates a status that is to be written.
func (s strategy) admitStatus(is, old *imagev1.ImageStream) field.ErrorList {
	errs := append(validation.ImageStreamStatusUpdate(is, old, s.policy.Allowed), size(is, old)...)
	if err := s.checkLimits(is, old); err != nil {
		errs = append(errs, field.Forbidden(field.NewPath("imageStream"), err.Error()))
	}
	updates.KeepManagersIfUnchanged(is, old)
	return errs
}
