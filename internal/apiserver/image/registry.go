package image

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/imageapi/dockerimage"
)

// Registry reads and writes Images inside the server, on behalf of resources
// that are made of them. Its errors are labelled with the resource of the
// request in ctx, as clients of this API expect.
//
// Views of a stream read with Seen and Reach, which know what a stream's readers
// may see. Find and Known return Images as they are stored.
type Registry struct {
	store     *genericregistry.Store // writes as a client does
	trusted   *genericregistry.Store // writes claims and corrections
	mayUpdate func(ctx context.Context, u user.Info) error
}

// Find returns an Image as it is stored in etcd, nil when there is none. The caller
// must not change it.
func (r *Registry) Find(ctx context.Context, name string) (*imagev1.Image, error) {
	img, err := r.stored(ctx, name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return img, err
}

// stored returns an Image as it is stored in etcd.
func (r *Registry) stored(ctx context.Context, name string) (*imagev1.Image, error) {
	obj, err := r.store.Get(ctx, name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return obj.(*imagev1.Image), nil
}

// Known is Find for a caller that stores the Image if there is none. It spares a read
// of etcd where the watch cache has none, so nil does not mean that there is none.
func (r *Registry) Known(ctx context.Context, name string) *imagev1.Image {
	if _, err := r.store.Get(ctx, name, &metav1.GetOptions{ResourceVersion: "0"}); err != nil {
		return nil
	}
	img, err := r.stored(ctx, name)
	if err != nil {
		return nil
	}
	return img
}

// Check completes a copy of an Image as Create does and reports what would keep it from being
// stored, whether or not there is an Image of that name.
func (r *Registry) Check(ctx context.Context, img *imagev1.Image) error {
	img = img.DeepCopy()
	rest.FillObjectMetaSystemFields(img)
	return rest.BeforeCreate(r.trusted.CreateStrategy, ctx, img)
}

// Create stores an Image; one of that name that is there already stays as it is
// and existed is true.
func (r *Registry) Create(ctx context.Context, img *imagev1.Image, dryRun []string) (stored *imagev1.Image, existed bool, err error) {
	return r.create(ctx, r.store, img, dryRun)
}

// Claim is Create for an Image that only a client of a stream describes: it is marked,
// and shown to readers of that stream alone.
func (r *Registry) Claim(ctx context.Context, img *imagev1.Image, namespace, stream string, dryRun []string) (stored *imagev1.Image, existed bool, err error) {
	dockerimage.Claim(img, namespace, stream)
	return r.create(ctx, r.trusted, img, dryRun)
}

func (r *Registry) create(ctx context.Context, store *genericregistry.Store, img *imagev1.Image, dryRun []string) (stored *imagev1.Image, existed bool, err error) {
	obj, err := store.Create(ctx, img, rest.ValidateAllObjectFunc, &metav1.CreateOptions{DryRun: dryRun})
	if apierrors.IsAlreadyExists(err) {
		stored, err := r.stored(ctx, img.Name)
		return stored, true, err
	}
	if err != nil {
		return nil, false, err
	}
	return obj.(*imagev1.Image), false, nil
}

// Verify stores an Image whose content the server has verified. One that existed is
// corrected where it says something else.
func (r *Registry) Verify(ctx context.Context, verified *imagev1.Image, dryRun []string) (stored *imagev1.Image, existed bool, err error) {
	stored, existed, err = r.Create(ctx, verified.DeepCopy(), dryRun)
	if err != nil || !existed || !dockerimage.NeedsCorrection(stored, verified) {
		return stored, existed, err
	}
	stored, err = r.Correct(ctx, verified, dryRun)
	return stored, true, err
}

// Correct makes a stored Image say what was verified, in one atomic step, and ends
// its being a claim. verified is a filled Image; it is not changed. An Image that
// needs no correction is not written.
func (r *Registry) Correct(ctx context.Context, verified *imagev1.Image, dryRun []string) (*imagev1.Image, error) {
	return update(ctx, r.trusted, verified.Name, dryRun, func(stored *imagev1.Image) error {
		dockerimage.Correct(stored, verified)
		return nil
	})
}

// MayUpdate reports whether the user of the request may update images in the whole
// cluster. What such a user sends of an image's content counts as verified.
func (r *Registry) MayUpdate(ctx context.Context) bool {
	u, ok := apirequest.UserFrom(ctx)
	return ok && r.mayUpdate(ctx, u) == nil
}

// Update changes an Image in one atomic step: change is given a copy to work on
// and is called again with a fresh one when another writer was faster.
func (r *Registry) Update(ctx context.Context, name string, dryRun []string, change func(*imagev1.Image) error) (*imagev1.Image, error) {
	return update(ctx, r.store, name, dryRun, change)
}

func update(ctx context.Context, store *genericregistry.Store, name string, dryRun []string, change changed) (*imagev1.Image, error) {
	obj, _, err := store.Update(ctx, name, change, rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, &metav1.UpdateOptions{DryRun: dryRun})
	if err != nil {
		return nil, err
	}
	return obj.(*imagev1.Image), nil
}

// Discard deletes an Image that the caller has just created, unless it is not what
// was created any more: it was corrected, or deleted, meanwhile.
func (r *Registry) Discard(ctx context.Context, created *imagev1.Image) error {
	preconditions := &metav1.Preconditions{UID: &created.UID, ResourceVersion: &created.ResourceVersion}
	_, _, err := r.store.Delete(ctx, created.Name, rest.ValidateAllObjectFunc, &metav1.DeleteOptions{Preconditions: preconditions})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
