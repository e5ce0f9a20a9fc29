// Package image provides the REST storage of Images: immutable descriptions of
// container images, named by digest, shared by all streams.
package image

import (
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/imageapi"
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
}

// NewStorage makes the storages.
func NewStorage(scheme *runtime.Scheme, getter generic.RESTOptionsGetter) (Storage, error) {
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
		return Storage{}, fmt.Errorf("making the store of images: %w", err)
	}
	return Storage{Images: &REST{store}, Registry: &Registry{store}}, nil
}

var (
	_ rest.StandardStorage        = (*REST)(nil)
	_ rest.StorageVersionProvider = (*REST)(nil)
)
