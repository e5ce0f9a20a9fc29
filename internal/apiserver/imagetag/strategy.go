package imagetag

import (
	"context"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/storage/names"

	"weir.dev/weir/internal/apiserver/tagview"
	"weir.dev/weir/internal/imageapi/validation"
)

// strategy is what becomes of an ImageTag before it takes effect.
type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
	allowed validation.RegistryAllower
}

var _ tagview.Strategy = strategy{}

func newStrategy(scheme *runtime.Scheme, allowed validation.RegistryAllower) strategy {
	return strategy{ObjectTyper: scheme, NameGenerator: names.SimpleNameGenerator, allowed: allowed}
}

func (strategy) NamespaceScoped() bool                                     { return true }
func (strategy) AllowCreateOnUpdate(context.Context) bool                  { return true }
func (strategy) AllowUnconditionalUpdate(context.Context) bool             { return true }
func (strategy) Canonicalize(runtime.Object)                               {}
func (strategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }
func (strategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
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

// PrepareForUpdate leaves of the metadata what tells which stream is meant, and as
// of when; all else in it is the stream's and not written here.
func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	t, before := obj.(*imagev1.ImageTag), old.(*imagev1.ImageTag)
	sent := t.ObjectMeta
	t.ObjectMeta = before.ObjectMeta
	t.Name, t.Namespace, t.UID, t.ResourceVersion = sent.Name, sent.Namespace, sent.UID, sent.ResourceVersion
	t.Image = before.Image
}

// Validate implements tagview.Strategy.
func (s strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.ImageTag(obj.(*imagev1.ImageTag), s.allowed)
}

// ValidateUpdate implements tagview.Strategy.
func (s strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validation.ImageTagUpdate(obj.(*imagev1.ImageTag), old.(*imagev1.ImageTag), s.allowed)
}
