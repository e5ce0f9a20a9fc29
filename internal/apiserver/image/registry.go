package image

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
)

// Registry reads and writes Images inside the server, on behalf of resources
// that are made of them. Its errors are labelled with the resource of the
// request in ctx, as clients of this API expect.
type Registry struct {
	store *genericregistry.Store
}

// Get returns an Image that the caller must not change. An Image never changes
// in what its digest covers, so the watch cache is as good a source as etcd; etcd
// is asked only for one that is not there.
func (r *Registry) Get(ctx context.Context, name string) (*imagev1.Image, error) {
	obj, err := r.store.Get(ctx, name, &metav1.GetOptions{ResourceVersion: "0"})
	if apierrors.IsNotFound(err) {
		obj, err = r.store.Get(ctx, name, &metav1.GetOptions{})
	}
	if err != nil {
		return nil, err
	}
	return obj.(*imagev1.Image), nil
}

// Known tells whether an Image is surely there: one that the watch cache has not
// heard of yet may be, too. What the cache knows etcd confirms, for an Image that was
// deleted a moment ago is in the cache still, and a tag must not come to point to it.
func (r *Registry) Known(ctx context.Context, name string) bool {
	for _, version := range []string{"0", ""} {
		if _, err := r.store.Get(ctx, name, &metav1.GetOptions{ResourceVersion: version}); err != nil {
			return false
		}
	}
	return true
}

// Create stores an Image; one of that name that is there already stays as it is
// and existed is true.
func (r *Registry) Create(ctx context.Context, img *imagev1.Image, dryRun []string) (stored *imagev1.Image, existed bool, err error) {
	obj, err := r.store.Create(ctx, img, rest.ValidateAllObjectFunc, &metav1.CreateOptions{DryRun: dryRun})
	if apierrors.IsAlreadyExists(err) {
		stored, err := r.Get(ctx, img.Name)
		return stored, true, err
	}
	if err != nil {
		return nil, false, err
	}
	return obj.(*imagev1.Image), false, nil
}

// Update changes an Image in one atomic step: change is given a copy to work on
// and is called again with a fresh one when another writer was faster.
func (r *Registry) Update(ctx context.Context, name string, dryRun []string, change func(*imagev1.Image) error) (*imagev1.Image, error) {
	obj, _, err := r.store.Update(ctx, name, changed(change), rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{DryRun: dryRun})
	if err != nil {
		return nil, err
	}
	return obj.(*imagev1.Image), nil
}
