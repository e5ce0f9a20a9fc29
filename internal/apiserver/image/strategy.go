package image

import (
	"context"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"
	"k8s.io/klog/v2"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"weir.dev/weir/internal/apiserver/updates"
	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/imageapi/validation"
)

// strategy completes and validates an Image.
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

// DefaultGarbageCollectionPolicy: an Image has no owner; only pruning
// and its administrators delete it.
func (strategy) DefaultGarbageCollectionPolicy(context.Context) rest.GarbageCollectionPolicy {
	return rest.Unsupported
}

// GetResetFields: nothing that a client applies is reset as a whole field.
func (strategy) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set { return nil }

// PrepareForCreate completes an Image from its manifest text. Text that cannot be
// read is beside the point for clients of old: it is logged and the Image stored.
// The mark of a claim is the server's: a client's is dropped.
func (s strategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	img := obj.(*imagev1.Image)
	dockerimage.Unclaim(img)
	logUnread(ctx, img, dockerimage.Fill(img, time.Now()))
}

// PrepareForUpdate keeps what a digest covers as it is.
func (s strategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	img := obj.(*imagev1.Image)
	logUnread(ctx, img, dockerimage.PrepareUpdate(img, old.(*imagev1.Image), time.Now()))
}

func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.Image(obj.(*imagev1.Image))
}

func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	img, before := obj.(*imagev1.Image), old.(*imagev1.Image)
	updates.KeepManagersIfUnchanged(img, before)
	return validation.ImageUpdate(img, before)
}

func (strategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }
func (strategy) WarningsOnUpdate(context.Context, runtime.Object, runtime.Object) []string {
	return nil
}

// trustedStrategy is for writes of the server itself, which may mark an Image as a
// claim and correct what it says of its content.
type trustedStrategy struct{ strategy }

// PrepareForCreate completes an Image as for a client, but leaves the mark.
func (s trustedStrategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	img := obj.(*imagev1.Image)
	logUnread(ctx, img, dockerimage.Fill(img, time.Now()))
}

// PrepareForUpdate takes the Image as it is.
func (trustedStrategy) PrepareForUpdate(context.Context, runtime.Object, runtime.Object) {}

// trustedStore is the same store for the server's own writes.
func trustedStore(store *genericregistry.Store, s strategy) *genericregistry.Store {
	trusted := *store
	trusted.CreateStrategy, trusted.UpdateStrategy = trustedStrategy{s}, trustedStrategy{s}
	return &trusted
}

func logUnread(ctx context.Context, img *imagev1.Image, err error) {
	if err != nil {
		klog.FromContext(ctx).Info("Storing an image with an unreadable manifest or configuration", "image", img.Name, "err", err)
	}
}
