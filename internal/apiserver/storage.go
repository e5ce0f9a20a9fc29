package apiserver

import (
	"fmt"
	"io"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/registry/generic"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"

	"weir.dev/weir/internal/apiserver/freshstore"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/watchprogress"
)

// storedType is the media type of objects in etcd:
//
//	/registry/image.openshift.io/images/NAME
//	/registry/image.openshift.io/imagestreams/NAMESPACE/NAME
const storedType = "application/vnd.kubernetes.protobuf"

// useStorage gives config stores that keep the group's objects as protobuf, and
// that show an image stream's repositories as the server is configured now: they
// are computed where an object is read from etcd, once, and not for every reader.
func useStorage(config *genericapiserver.Config, etcd genericoptions.EtcdOptions, scheme *runtime.Scheme, codecs serializer.CodecFactory, hosts stream.Registries) error {
	resources := serverstorage.NewResourceConfig()
	resources.EnableVersions(imagev1.GroupVersion)
	etcd.StorageConfig.StorageObjectCountTracker = config.StorageObjectCountTracker
	factory := serverstorage.NewDefaultStorageFactory(etcd.StorageConfig, storedType, codecs, serverstorage.NewDefaultResourceEncodingConfig(scheme), resources, nil)
	for _, resource := range []string{imageapi.Images, imageapi.ImageStreams} {
		factory.SetResourceEtcdPrefix(imageapi.Resource(resource), imagev1.GroupName+"/"+resource)
	}
	if err := etcd.ApplyWithStorageFactoryTo(factory, config); err != nil {
		return fmt.Errorf("configuring the store of %s: %w", imagev1.GroupName, err)
	}
	config.RESTOptionsGetter = completingGetter{config.RESTOptionsGetter, hosts}
	return nil
}

// completingGetter completes what its stores decode.
type completingGetter struct {
	generic.RESTOptionsGetter
	hosts stream.Registries
}

func (g completingGetter) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	options, err := g.RESTOptionsGetter.GetRESTOptions(resource, example)
	if err != nil {
		return options, err
	}
	config := *options.StorageConfig
	config.Codec = completingCodec{config.Codec, g.hosts}
	options.Decorator = freshstore.Decorate(watchprogress.Decorate(options.Decorator))
	options.StorageConfig = &storagebackend.ConfigForResource{Config: config.Config, GroupResource: config.GroupResource}
	return options, nil
}

// completingCodec gives stored objects the one form that objects have inside the server: without
// kind and apiVersion, as those of requests, and with the fields that depend on the
// configuration. Two forms of one object would make an unchanged object look changed.
type completingCodec struct {
	runtime.Codec
	hosts stream.Registries
}

func (c completingCodec) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	obj, gvk, err := c.Codec.Decode(data, defaults, into)
	if err != nil {
		return obj, gvk, err
	}
	imageapi.ClearKind(obj)
	switch stored := obj.(type) {
	case *imagev1.ImageStream:
		stream.SetRepositories(stored, c.hosts)
		stream.TrimRepositories(stored)
		stream.ShowCurrentNames(stored, c.hosts)
		if into == nil { // from etcd's watch, for the watch cache, which keeps many versions
			stream.ShareEvents(stored)
		}
	case *imagev1.Image:
		stream.ShowCurrentName(stored, c.hosts)
	}
	return obj, gvk, nil
}

// Encode implements runtime.Encoder. The inner codec notes kind and apiVersion in the object that
// it encodes. The store encodes objects that it compares with others afterwards, some of them of
// the watch cache, so it encodes a copy.
func (c completingCodec) Encode(obj runtime.Object, w io.Writer) error {
	switch o := obj.(type) {
	case *imagev1.Image:
		own := *o
		obj = &own
	case *imagev1.ImageStream:
		own := *o
		obj = &own
	}
	return c.Codec.Encode(obj, w)
}
