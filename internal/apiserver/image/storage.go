// Package image provides the REST storage of Images: descriptions of container
// images, named by digest, shared by all streams. What the digest covers does not
// change, except that a description is corrected when its content is verified.
package image

import (
	"context"
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/apiserver/updates"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/imageapi/table"
)

// Storage are the storages of the resources that are kept as Images.
type Storage struct {
	Images *REST
	// Registry reads and writes Images on behalf of virtual resources.
	Registry *Registry
}

// REST serves images.
type REST struct {
	*genericregistry.Store
	registry *Registry
}

// Create stores an Image. If there is one of that name, the answer is AlreadyExists
// all the same, but the stored Image is corrected when the user may update images:
// a registry sends what it has verified in this way.
func (r *REST) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	created, err := r.Store.Create(ctx, obj, validate, options)
	img, ok := obj.(*imagev1.Image)
	if !ok || img.Name == "" || !apierrors.IsAlreadyExists(err) {
		return created, err
	}
	// The store has filled img before it tried to create it.
	if err := r.correct(ctx, img, options.DryRun); err != nil {
		return nil, err
	}
	return nil, err
}

// Update changes an Image, but for the fields that its digest covers.
func (r *REST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, allowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return r.Store.Update(ctx, name, updates.Info(info), create, update, allowCreate, options)
}

func (r *REST) correct(ctx context.Context, sent *imagev1.Image, dryRun []string) error {
	stored, err := r.registry.Find(ctx, sent.Name)
	if err != nil || stored == nil {
		return err
	}
	if !dockerimage.NeedsCorrection(stored, sent) || !dockerimage.DescribesContent(sent) || !r.registry.MayUpdate(ctx) {
		return nil
	}
	_, err = r.registry.Correct(ctx, sent, dryRun)
	return err
}

// NewStorage makes the storages. mayUpdate asks whether a user may update images in
// the whole cluster; a refusal is its error.
func NewStorage(scheme *runtime.Scheme, getter generic.RESTOptionsGetter, mayUpdate func(ctx context.Context, u user.Info) error) (Storage, error) {
	strategy := newStrategy(scheme)
	store := &genericregistry.Store{
		NewFunc:                   func() runtime.Object { return &imagev1.Image{} },
		NewListFunc:               func() runtime.Object { return &imagev1.ImageList{} },
		DefaultQualifiedResource:  imageapi.Resource(imageapi.Images),
		SingularQualifiedResource: imageapi.Resource("image"),
		CreateStrategy:            strategy,
		UpdateStrategy:            strategy,
		DeleteStrategy:            strategy,
		ResetFieldsStrategy:       strategy,
		TableConvertor:            table.Images(),
	}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: getter, AttrFunc: imageapi.Attributes}); err != nil {
		return Storage{}, fmt.Errorf("setting up the storage of images: %w", err)
	}
	registry := &Registry{store: store, trusted: trustedStore(store, strategy), mayUpdate: mayUpdate}
	return Storage{Images: &REST{store, registry}, Registry: registry}, nil
}

var (
	_ rest.StandardStorage        = (*REST)(nil)
	_ rest.StorageVersionProvider = (*REST)(nil)
)
