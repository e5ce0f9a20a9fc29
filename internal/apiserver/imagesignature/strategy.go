package imagesignature

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"

	"weir.dev/weir/internal/imageapi/validation"
)

// strategy completes and validates a signature.
type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
}

var _ rest.RESTCreateStrategy = strategy{}

func newStrategy(scheme *runtime.Scheme) strategy {
	return strategy{ObjectTyper: scheme, NameGenerator: names.SimpleNameGenerator}
}

func (strategy) NamespaceScoped() bool                                     { return false }
func (strategy) Canonicalize(runtime.Object)                               {}
func (strategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

// PrepareForCreate clears what only a verifier may claim, and who manages which
// field, which means nothing inside an Image.
func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	sig := obj.(*imagev1.ImageSignature)
	sig.ManagedFields = nil
	sig.Conditions, sig.ImageIdentity, sig.SignedClaims = nil, "", nil
	sig.Created, sig.IssuedBy, sig.IssuedTo = nil, nil, nil
}

// Validate implements rest.RESTCreateStrategy.
func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.ImageSignature(obj.(*imagev1.ImageSignature))
}
