package image

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"weir.dev/weir/internal/imageapi"
)

// strategy is what becomes of an Image on its way to the store.
type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
}

func newStrategy(scheme *runtime.Scheme) strategy {
	return strategy{ObjectTyper: scheme, NameGenerator: names.SimpleNameGenerator}
}

var (
	_ rest.RESTCreateStrategy              = strategy{}
	_ rest.RESTUpdateStrategy              = strategy{}
	_ rest.GarbageCollectionDeleteStrategy = strategy{}
	_ rest.ResetFieldsStrategy             = strategy{}
)

func (strategy) NamespaceScoped() bool                         { return false }
func (strategy) AllowCreateOnUpdate(context.Context) bool      { return false }
func (strategy) AllowUnconditionalUpdate(context.Context) bool { return false }
func (strategy) Canonicalize(runtime.Object)                   {}

// DefaultGarbageCollectionPolicy: an Image is nobody's dependent; only pruning
// and its administrators delete it.
func (strategy) DefaultGarbageCollectionPolicy(context.Context) rest.GarbageCollectionPolicy {
	return rest.Unsupported
}

// GetResetFields: nothing that a client applies is reset as a whole field.
func (strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set { return nil }

func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	prepareCreate(obj.(*imagev1.Image))
}

func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	prepareUpdate(obj.(*imagev1.Image), old.(*imagev1.Image))
}

func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validateCreate(obj.(*imagev1.Image))
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validateUpdate(obj.(*imagev1.Image), old.(*imagev1.Image))
}

func (strategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }
func (strategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

func prepareCreate(img *imagev1.Image)                       {}
func prepareUpdate(img, old *imagev1.Image)                  {}
func validateCreate(img *imagev1.Image) field.ErrorList      { return nil }
func validateUpdate(img, old *imagev1.Image) field.ErrorList { return nil }

var _ = imageapi.Images
