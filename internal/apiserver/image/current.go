package image

import (
	"context"
	"strconv"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/storage"
)

// maxDirect is the number of Images up to which each is read from etcd. More are read from the
// watch cache, once that has reached the present revision of etcd: one wait, of a tenth of a second
// at most while etcd is in order, instead of a round trip for each.
const maxDirect = 32

// reader returns a way to get n Images as they are now: every write that was answered before the
// call is seen. An Image can be deleted, signed, annotated and corrected, so a cache alone will not do.
func (r *Registry) reader(ctx context.Context, n int) getImage {
	if n <= maxDirect {
		return r.stored
	}
	revision, err := r.store.Storage.Storage.GetCurrentResourceVersion(ctx)
	if err != nil {
		return r.stored // which returns the error, if it lasts
	}
	since := &metav1.GetOptions{ResourceVersion: strconv.FormatUint(revision, 10)}
	return func(ctx context.Context, name string) (*imagev1.Image, error) {
		obj, err := r.store.Get(ctx, name, since)
		if storage.IsTooLargeResourceVersion(err) {
			return r.stored(ctx, name) // the watch cache lags behind etcd
		}
		if err != nil {
			return nil, err
		}
		return obj.(*imagev1.Image), nil
	}
}
