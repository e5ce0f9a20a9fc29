package imagestream

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"weir.dev/weir/internal/stream"
)

// strategy is the common part of all writers of streams.
type strategy struct {
	runtime.ObjectTyper
	policy  Policy
	streams *Registry
}

func (strategy) GenerateName(base string) string          { return names.SimpleNameGenerator.GenerateName(base) }
func (strategy) NamespaceScoped() bool                    { return true }
func (strategy) AllowCreateOnUpdate(context.Context) bool { return false }
func (strategy) Canonicalize(runtime.Object)              {}

// WarningsOnCreate implements rest.RESTCreateStrategy.
func (s strategy) WarningsOnCreate(_ context.Context, obj runtime.Object) []string {
	return s.policy.Intervals.Problems(obj.(*imagev1.ImageStream), nil)
}

// WarningsOnUpdate implements rest.RESTUpdateStrategy. What was wrong before is not repeated, so
// that imports and pushes are not warned of what they did not write.
func (s strategy) WarningsOnUpdate(_ context.Context, obj, old runtime.Object) []string {
	return s.policy.Intervals.Problems(obj.(*imagev1.ImageStream), old.(*imagev1.ImageStream))
}

// apiVersion is how server-side apply calls the version whose fields are reset.
const apiVersion = fieldpath.APIVersion("image.openshift.io/v1")

func resetFields(paths ...string) map[fieldpath.APIVersion]*fieldpath.Set {
	set := fieldpath.NewSet()
	for _, p := range paths {
		set.Insert(fieldpath.MakePathOrDie(p))
	}
	return map[fieldpath.APIVersion]*fieldpath.Set{apiVersion: set}
}

// specStrategy serves writers of imagestreams: they write everything but status.
type specStrategy struct{ strategy }

// AllowUnconditionalUpdate is false: a PUT names the resourceVersion it is based on.
func (specStrategy) AllowUnconditionalUpdate(context.Context) bool { return false }

// GetResetFields implements rest.ResetFieldsStrategy.
func (specStrategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resetFields("status")
}

func (s specStrategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	is := obj.(*imagev1.ImageStream)
	stream.PrepareCreate(is)
	stream.SetCopySources(is, nil)
	stream.KeepUnproven(is, &imagev1.ImageStream{})
	stream.SetRepositories(is, s.policy.Hosts)
}

func (s specStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	is := obj.(*imagev1.ImageStream)
	stream.PrepareUpdate(is, old.(*imagev1.ImageStream))
	stream.SetCopySources(is, stream.CopySources(old.(*imagev1.ImageStream)))
	stream.KeepUnproven(is, old.(*imagev1.ImageStream))
	stream.SetRepositories(is, s.policy.Hosts)
}

func (s specStrategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	return s.admit(ctx, obj.(*imagev1.ImageStream), nil)
}

func (s specStrategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	return s.admit(ctx, obj.(*imagev1.ImageStream), old.(*imagev1.ImageStream))
}

// wholeStrategy serves virtual resources that write spec and status together:
// tags and imports.
type wholeStrategy struct{ strategy }

// AllowUnconditionalUpdate is true: their changes are computed from what is stored.
func (wholeStrategy) AllowUnconditionalUpdate(context.Context) bool { return true }

// GetResetFields implements rest.ResetFieldsStrategy.
func (wholeStrategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set { return nil }

func (s wholeStrategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	is := obj.(*imagev1.ImageStream)
	stream.PrepareCreateWithStatus(is)
	stream.CompleteCopySources(is)
	stream.SetRepositories(is, s.policy.Hosts)
}

func (s wholeStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	is := obj.(*imagev1.ImageStream)
	stream.PrepareUpdateWithStatus(is, old.(*imagev1.ImageStream))
	stream.CompleteCopySources(is)
	stream.SetRepositories(is, s.policy.Hosts)
}

func (s wholeStrategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	return s.admit(ctx, obj.(*imagev1.ImageStream), nil)
}

func (s wholeStrategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	return s.admit(ctx, obj.(*imagev1.ImageStream), old.(*imagev1.ImageStream))
}

// statusStrategy serves writers of the status: imagestreams/status, and mappings
// from inside the server.
type statusStrategy struct {
	strategy
	// internal is true for writers inside the server: they compute their changes from
	// what is stored, and record copies.
	internal bool
}

// AllowUnconditionalUpdate implements rest.RESTUpdateStrategy.
func (s statusStrategy) AllowUnconditionalUpdate(context.Context) bool { return s.internal }

// GetResetFields implements rest.ResetFieldsStrategy.
func (statusStrategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return resetFields("spec", "metadata")
}

func (s statusStrategy) PrepareForCreate(context.Context, runtime.Object) {}

func (s statusStrategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	is, before := obj.(*imagev1.ImageStream), old.(*imagev1.ImageStream)
	recorded := before // by the server
	if s.internal {
		recorded = is.DeepCopy()
	}
	stream.PrepareStatusUpdate(is, before)
	stream.SetCopySources(is, stream.CopySources(recorded))
	stream.KeepUnproven(is, recorded)
	if !s.internal && !s.policy.mayUpdateImages(ctx) {
		stream.MarkNew(is, before)
	}
	stream.LimitHistory(is)
	stream.PruneCopySources(is)
	stream.PruneUnproven(is)
}

func (s statusStrategy) Validate(context.Context, runtime.Object) field.ErrorList { return nil }

func (s statusStrategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return s.admitStatus(obj.(*imagev1.ImageStream), old.(*imagev1.ImageStream))
}

var (
	_ allStrategies           = specStrategy{}
	_ allStrategies           = wholeStrategy{}
	_ allStrategies           = statusStrategy{}
	_ rest.RESTDeleteStrategy = specStrategy{}
)

func namespaceOf(ctx context.Context) string { return apirequest.NamespaceValue(ctx) }
