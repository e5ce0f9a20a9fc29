package imagestreamimport

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageapi/validation"
)

// strategy validates imports; they are not stored.
type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
}

var _ rest.RESTCreateStrategy = strategy{}

func newStrategy(scheme *runtime.Scheme) strategy {
	return strategy{ObjectTyper: scheme, NameGenerator: names.SimpleNameGenerator}
}

func (strategy) NamespaceScoped() bool       { return true }
func (strategy) Canonicalize(runtime.Object) {}

func (strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	obj.(*imagev1.ImageStreamImport).Status = imagev1.ImageStreamImportStatus{}
}

func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.ImageStreamImport(obj.(*imagev1.ImageStreamImport))
}

func (strategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

// mayCreateImages reviews the right to create images or mappings; of the latter
// reviews of this right have always had the singular.
func (r *REST) mayCreateImages(ctx context.Context) bool {
	u, ok := apirequest.UserFrom(ctx)
	if !ok {
		return false
	}
	for _, resource := range []string{imageapi.Images, imageapi.SingularImageStreamMapping, imageapi.ImageStreamMappings} {
		if r.MayCreate(ctx, u, resource) {
			return true
		}
	}
	return false
}
