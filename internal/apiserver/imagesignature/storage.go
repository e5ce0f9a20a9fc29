// Package imagesignature provides the REST storage of imagesignatures: adding
// signatures to Images and taking them away. They are read as part of the Image.
package imagesignature

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/apiserver/image"
	"weir.dev/weir/internal/imageapi"
)

// REST serves imagesignatures.
type REST struct {
	strategy strategy
	images   *image.Registry
}

var (
	_ rest.Creater              = (*REST)(nil)
	_ rest.GracefulDeleter      = (*REST)(nil)
	_ rest.Scoper               = (*REST)(nil)
	_ rest.SingularNameProvider = (*REST)(nil)
)

// NewREST makes the storage.
func NewREST(scheme *runtime.Scheme, images *image.Registry) *REST {
	return &REST{strategy: newStrategy(scheme), images: images}
}

// New implements rest.Storage.
func (*REST) New() runtime.Object { return &imagev1.ImageSignature{} }

// Destroy has nothing to release.
func (*REST) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (*REST) NamespaceScoped() bool { return false }

// GetSingularName implements rest.SingularNameProvider.
func (*REST) GetSingularName() string { return "imagesignature" }

// Create adds the signature to the Image that its name, "image@signature", names.
// One Image has no two signatures of one name, nor of one type and content.
func (r *REST) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	sig, ok := obj.(*imagev1.ImageSignature)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not an ImageSignature: %T", obj))
	}
	if err := r.admit(ctx, sig, validate); err != nil {
		return nil, err
	}
	imageName, _, err := imageapi.SplitSignatureName(sig.Name)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	img, err := r.images.Update(ctx, imageName, options.DryRun, func(img *imagev1.Image) error {
		if slices.ContainsFunc(img.Signatures, func(have imagev1.ImageSignature) bool { return same(&have, sig) }) {
			return apierrors.NewAlreadyExists(imageapi.Resource(imageapi.MixedCaseImageSignatures), sig.Name)
		}
		img.Signatures = append(img.Signatures, *sig.DeepCopy())
		return nil
	})
	if err != nil {
		return nil, labelled(err, imageName)
	}
	return img.Signatures[indexOf(img, sig.Name)].DeepCopy(), nil
}

// admit completes and validates a signature.
func (r *REST) admit(ctx context.Context, sig *imagev1.ImageSignature, validate rest.ValidateObjectFunc) error {
	rest.FillObjectMetaSystemFields(sig)
	if sig.Name == "" && sig.GenerateName != "" {
		sig.Name = r.strategy.GenerateName(sig.GenerateName)
	}
	if err := rest.BeforeCreate(r.strategy, ctx, sig); err != nil {
		return err
	}
	if validate == nil {
		return nil
	}
	return validate(ctx, sig.DeepCopyObject())
}

func same(a, b *imagev1.ImageSignature) bool {
	return a.Name == b.Name || (a.Type == b.Type && bytes.Equal(a.Content, b.Content))
}

func indexOf(img *imagev1.Image, name string) int {
	return slices.IndexFunc(img.Signatures, func(s imagev1.ImageSignature) bool { return s.Name == name })
}

// Delete takes the signature from its Image.
func (r *REST) Delete(ctx context.Context, name string, validate rest.ValidateObjectFunc, options *metav1.DeleteOptions) (runtime.Object, bool, error) {
	imageName, _, err := imageapi.SplitSignatureName(name)
	if err != nil {
		return nil, false, apierrors.NewBadRequest(err.Error())
	}
	_, err = r.images.Update(ctx, imageName, options.DryRun, func(img *imagev1.Image) error {
		i := indexOf(img, name)
		if i < 0 {
			return apierrors.NewNotFound(imageapi.Resource(imageapi.MixedCaseImageSignatures), name)
		}
		if err := checkDelete(ctx, &img.Signatures[i], validate, options.Preconditions); err != nil {
			return err
		}
		img.Signatures = slices.Delete(img.Signatures, i, i+1)
		return nil
	})
	if err != nil {
		return nil, false, labelled(err, imageName)
	}
	return &metav1.Status{Status: metav1.StatusSuccess}, true, nil
}

// checkDelete asks the preconditions that a signature can meet (it has a uid and no
// resourceVersion of its own), then admission.
func checkDelete(ctx context.Context, sig *imagev1.ImageSignature, validate rest.ValidateObjectFunc, conditions *metav1.Preconditions) error {
	if conditions != nil && conditions.UID != nil && *conditions.UID != sig.UID {
		return apierrors.NewConflict(imageapi.Resource(imageapi.MixedCaseImageSignatures), sig.Name,
			fmt.Errorf("the UID in the precondition (%s) does not match the UID in record (%s)", *conditions.UID, sig.UID))
	}
	if validate == nil {
		return nil
	}
	return validate(ctx, sig.DeepCopyObject())
}

// labelled is err as clients know it: a missing Image, which the store labels with
// the resource of the request, is one of images.
func labelled(err error, imageName string) error {
	var status apierrors.APIStatus
	if apierrors.IsNotFound(err) && errors.As(err, &status) {
		if details := status.Status().Details; details != nil && details.Kind == imageapi.ImageSignatures {
			return apierrors.NewNotFound(imageapi.Resource(imageapi.Images), imageName)
		}
	}
	return err
}
