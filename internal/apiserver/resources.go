package apiserver

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/apiserver/image"
	"weir.dev/weir/internal/apiserver/imagestream"
)

// resources is the table of all that is served.
func (c Config) resources(scheme *runtime.Scheme, getter generic.RESTOptionsGetter) (map[string]rest.Storage, error) {
	images, err := image.NewStorage(scheme, getter)
	if err != nil {
		return nil, err
	}
	streams, err := imagestream.NewStorage(scheme, getter, c.Streams)
	if err != nil {
		return nil, err
	}
	return map[string]rest.Storage{
		"images":              images.Images,
		"imagestreams":        streams.Streams,
		"imagestreams/status": streams.Status,
	}, nil
}
