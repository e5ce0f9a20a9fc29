// Package imagestream provides the REST storage of image streams and of their
// subresources.
package imagestream

import (
	"context"
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/apiserver/updates"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageapi/table"
)

// Storage are the storages of imagestreams and its subresources.
type Storage struct {
	Streams *REST
	Status  *StatusREST
	// Registry reads and writes streams on behalf of virtual resources.
	Registry *Registry
}

// REST serves imagestreams.
type REST struct {
	movingStore
}

// Update changes a stream, but for its status.
func (r *REST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, allowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return r.movingStore.Update(ctx, name, updates.Info(info), create, update, allowCreate, options)
}

// ShortNames implements rest.ShortNamesProvider.
func (*REST) ShortNames() []string { return []string{"is"} }

// Categories puts streams into `kubectl get all`.
func (*REST) Categories() []string { return []string{"all"} }

// NewStorage makes the storages.
func NewStorage(scheme *runtime.Scheme, getter generic.RESTOptionsGetter, policy Policy) (Storage, error) {
	registry := &Registry{}
	base := strategy{ObjectTyper: scheme, policy: policy, streams: registry}
	spec := specStrategy{base}
	store := &genericregistry.Store{
		NewFunc:                   func() runtime.Object { return &imagev1.ImageStream{} },
		NewListFunc:               func() runtime.Object { return &imagev1.ImageStreamList{} },
		DefaultQualifiedResource:  imageapi.Resource(imageapi.ImageStreams),
		SingularQualifiedResource: imageapi.Resource(imageapi.SingularImageStream),
		CreateStrategy:            spec,
		UpdateStrategy:            spec,
		DeleteStrategy:            spec,
		ResetFieldsStrategy:       spec,
		TableConvertor:            table.ImageStreams(),
	}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: getter, AttrFunc: imageapi.Attributes}); err != nil {
		return Storage{}, fmt.Errorf("setting up the storage of image streams: %w", err)
	}
	writers := movingStore{store, policy.Moved}
	registry.whole = withStrategies(writers, wholeStrategy{base})
	registry.status = withStrategies(writers, statusStrategy{base, true})
	return Storage{
		Streams:  &REST{writers},
		Status:   &StatusREST{withStrategies(writers, statusStrategy{base, false})},
		Registry: registry,
	}, nil
}

type allStrategies interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
	rest.ResetFieldsStrategy
}

// withStrategies is the same store for writers with other rights.
func withStrategies(store movingStore, s allStrategies) movingStore {
	other := *store.Store
	other.CreateStrategy, other.UpdateStrategy, other.ResetFieldsStrategy = s, s, s
	return movingStore{&other, store.moved}
}

var (
	_ rest.StandardStorage        = (*REST)(nil)
	_ rest.ShortNamesProvider     = (*REST)(nil)
	_ rest.CategoriesProvider     = (*REST)(nil)
	_ rest.StorageVersionProvider = (*REST)(nil)
)
