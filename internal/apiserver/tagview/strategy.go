package tagview

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
)

// Strategy completes and validates objects of a resource.
type Strategy interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
}

// Defaults is the part of a Strategy that both resources share: namespaced objects, which a PUT may
// create and change without a resourceVersion.
type Defaults struct {
	runtime.ObjectTyper
	names.NameGenerator
}

// NewDefaults returns Defaults with the types of a scheme.
func NewDefaults(scheme *runtime.Scheme) Defaults {
	return Defaults{ObjectTyper: scheme, NameGenerator: names.SimpleNameGenerator}
}

// NamespaceScoped implements Strategy.
func (Defaults) NamespaceScoped() bool { return true }

// AllowCreateOnUpdate implements Strategy.
func (Defaults) AllowCreateOnUpdate(context.Context) bool { return true }

// AllowUnconditionalUpdate implements Strategy.
func (Defaults) AllowUnconditionalUpdate(context.Context) bool { return true }

// Canonicalize implements Strategy.
func (Defaults) Canonicalize(runtime.Object) {}

// WarningsOnCreate implements Strategy.
func (Defaults) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

// WarningsOnUpdate implements Strategy.
func (Defaults) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}
