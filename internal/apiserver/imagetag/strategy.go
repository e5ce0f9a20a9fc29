package imagetag

import (
	"context"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"weir.dev/weir/internal/apiserver/tagview"
	"weir.dev/weir/internal/imageapi/validation"
)

// strategy completes and validates an ImageTag.
type strategy struct {
	tagview.Defaults
	allowed validation.RegistryAllower
}

var _ tagview.Strategy = strategy{}

func newStrategy(scheme *runtime.Scheme, allowed validation.RegistryAllower) strategy {
	return strategy{Defaults: tagview.NewDefaults(scheme), allowed: allowed}
}

// PrepareForCreate names the spec tag where the client did not, and drops what only
// the server knows.
func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	t := obj.(*imagev1.ImageTag)
	t.Status, t.Image = nil, nil
	if t.Spec != nil && t.Spec.Name == "" {
		_, t.Spec.Name, _ = strings.Cut(t.Name, ":")
	}
}

// PrepareForUpdate gives a tag that leaves labels, annotations, finalizers or owners of the stream
// out the stream's: a PUT has no more to say than what it is about, and a new tag begins with
// nothing. A patch of a tag was applied to the stream's, so what it lacks there was removed.
func (strategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	t, before := obj.(*imagev1.ImageTag), old.(*imagev1.ImageTag)
	t.ManagedFields, t.Generation = before.ManagedFields, before.Generation
	t.Image = before.Image
	if request, ok := apirequest.RequestInfoFrom(ctx); ok && request.Verb == "patch" && (before.Spec != nil || before.Status != nil) {
		return
	}
	if t.Labels == nil {
		t.Labels = before.Labels
	}
	if t.Annotations == nil {
		t.Annotations = before.Annotations
	}
	if t.Finalizers == nil {
		t.Finalizers = before.Finalizers
	}
	if t.OwnerReferences == nil {
		t.OwnerReferences = before.OwnerReferences
	}
}

// Validate implements tagview.Strategy.
func (s strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.ImageTag(obj.(*imagev1.ImageTag), s.allowed)
}

// ValidateUpdate implements tagview.Strategy.
func (s strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ImageTagUpdate(obj.(*imagev1.ImageTag), old.(*imagev1.ImageTag), s.allowed)
}
