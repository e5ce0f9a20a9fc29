// Package imagestreamlayers provides the REST storage of imagestreams/layers: the blobs of the images
// in a stream. The right to get it is the right to pull from the stream. The registry reviews that
// right, and the pruner reads the blobs that are in use.
package imagestreamlayers

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/apiserver/image"
	"weir.dev/weir/internal/apiserver/imagestream"
	"weir.dev/weir/internal/stream"
)

// REST serves imagestreams/layers.
type REST struct {
	streams *imagestream.Registry
	images  *image.Registry
}

var _ rest.Getter = (*REST)(nil)

// NewREST makes the storage.
func NewREST(streams *imagestream.Registry, images *image.Registry) *REST {
	return &REST{streams: streams, images: images}
}

// New implements rest.Storage.
func (*REST) New() runtime.Object { return &imagev1.ImageStreamLayers{} }

// Destroy has nothing to release.
func (*REST) Destroy() {}

// Get lists what the stream's history leads to: all of it, not the heads alone, so
// that a revision stays pullable until it is pruned.
func (r *REST) Get(ctx context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	s, err := r.streams.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	found, err := r.images.Reach(ctx, s, stream.Images(s))
	if err != nil {
		return nil, err
	}
	return layersOf(s, found), nil
}
