package image

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// changed is the object of an update that is computed from the stored one.
type changed func(*imagev1.Image) error

// Preconditions has none: the store itself sees to it that nothing comes between.
func (changed) Preconditions() *metav1.Preconditions { return nil }

// UpdatedObject applies the change to a copy of the stored object, which keeps
// its resourceVersion, so that the store notices a writer in between and asks again.
func (c changed) UpdatedObject(_ context.Context, old runtime.Object) (runtime.Object, error) {
	img := old.DeepCopyObject().(*imagev1.Image)
	return img, c(img)
}
