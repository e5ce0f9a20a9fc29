package imagestreamtag

import (
	"context"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/apiserver/tagview"
	"weir.dev/weir/internal/imageapi/validation"
)

// strategy completes and validates an ImageStreamTag.
type strategy struct {
	tagview.Defaults
	allowed validation.RegistryAllower
}

var _ tagview.Strategy = strategy{}

func newStrategy(scheme *runtime.Scheme, allowed validation.RegistryAllower) strategy {
	return strategy{Defaults: tagview.NewDefaults(scheme), allowed: allowed}
}

// PrepareForCreate names the spec tag, and drops the fields that only the server sets.
func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	t := obj.(*imagev1.ImageStreamTag)
	t.Conditions, t.Image = nil, imagev1.Image{}
	nameTag(t)
}

// PrepareForUpdate completes what clients may leave out.
//
// The annotations of a tag are shown twice and written through the metadata. Those
// in the spec tag that a client only hands back are out of the way here: who
// changes the metadata is not made to change them, too.
func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	t, before := obj.(*imagev1.ImageStreamTag), old.(*imagev1.ImageStreamTag)
	t.Conditions, t.Image = before.Conditions, before.Image
	if t.Labels == nil {
		t.Labels = before.Labels
	}
	nameTag(t)
	if t.Tag != nil && before.Tag != nil && apiequality.Semantic.DeepEqual(t.Tag.Annotations, before.Tag.Annotations) {
		t.Tag.Annotations = nil
	}
}

// nameTag gives the spec tag the one name it can have.
func nameTag(t *imagev1.ImageStreamTag) {
	if t.Tag != nil {
		_, t.Tag.Name, _ = strings.Cut(t.Name, ":")
	}
}

// Validate implements tagview.Strategy.
func (s strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.ImageStreamTag(obj.(*imagev1.ImageStreamTag), s.allowed)
}

// ValidateUpdate implements tagview.Strategy.
func (s strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ImageStreamTagUpdate(obj.(*imagev1.ImageStreamTag), old.(*imagev1.ImageStreamTag), s.allowed)
}
