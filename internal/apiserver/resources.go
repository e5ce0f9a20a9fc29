package apiserver

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/apiserver/image"
	"weir.dev/weir/internal/apiserver/imagesignature"
	"weir.dev/weir/internal/apiserver/imagestream"
	"weir.dev/weir/internal/apiserver/imagestreamimage"
	"weir.dev/weir/internal/apiserver/imagestreamimport"
	"weir.dev/weir/internal/apiserver/imagestreamlayers"
	"weir.dev/weir/internal/apiserver/imagestreammapping"
	"weir.dev/weir/internal/apiserver/imagestreamsecrets"
	"weir.dev/weir/internal/apiserver/imagestreamtag"
	"weir.dev/weir/internal/apiserver/imagetag"
	"weir.dev/weir/internal/auth"
)

// resources is the table of all that is served of image.openshift.io, and the registry of its
// streams. Imports are given up when stopping ends.
func (c Config) resources(stopping context.Context, scheme *runtime.Scheme, warnings *importWarnings) (map[string]rest.Storage, *imagestream.Registry, error) {
	getter := c.Generic.RESTOptionsGetter
	access := auth.New(c.Generic.Authorization.Authorizer)
	images, err := image.NewStorage(scheme, getter, access.CanUpdateImages)
	if err != nil {
		return nil, nil, err
	}
	policy := imagestream.Policy{
		Hosts:           c.Hosts,
		MayPull:         access.CanPull,
		MayUpdateImages: access.CanUpdateImages,
		Allowed:         c.Allowed,
		LimitRanges:     c.limitRanges(),
		Intervals:       c.ImportIntervals,
		Moved:           newMoveEvents(warnings.recorder).announce,
	}
	streams, err := imagestream.NewStorage(scheme, getter, policy)
	if err != nil {
		return nil, nil, err
	}
	imports := imagestreamimport.NewREST(scheme, imagestreamimport.Dependencies{
		Streams:           streams.Registry,
		Images:            images.Registry,
		Hosts:             c.Hosts,
		Importer:          c.Importer,
		Allowed:           c.Allowed,
		MayCreate:         access.CanCreate,
		PullSecrets:       c.pullSecrets,
		NodeCredentials:   c.NodeCredentials,
		Warn:              warnings.secret,
		WarnOfSource:      warnings.source,
		Stopping:          stopping,
		MaxRepositoryTags: c.MaxRepositoryTags,
	})
	secrets, err := imagestreamsecrets.NewREST(scheme, c.pullSecrets)
	if err != nil {
		return nil, nil, err
	}
	return map[string]rest.Storage{
		"images":               images.Images,
		"imagestreams":         streams.Streams,
		"imagestreams/status":  streams.Status,
		"imagestreamimports":   imports,
		"imagesignatures":      imagesignature.NewREST(scheme, images.Registry),
		"imagestreamimages":    imagestreamimage.NewREST(streams.Registry, images.Registry),
		"imagestreammappings":  imagestreammapping.NewREST(scheme, streams.Registry, images.Registry, policy),
		"imagestreamtags":      imagestreamtag.NewREST(scheme, streams.Registry, images.Registry, c.Allowed),
		"imagetags":            imagetag.NewREST(scheme, streams.Registry, images.Registry, c.Allowed),
		"imagestreams/layers":  imagestreamlayers.NewREST(streams.Registry, images.Registry),
		"imagestreams/secrets": secrets,
	}, streams.Registry, nil
}

// errLimitsUnknown keeps streams from being written past limits that are still
// being read.
var errLimitsUnknown = errors.New("the limit ranges of the namespace have not been read yet, try again")

// limitRanges returns the limit ranges of a namespace from the host's informer.
func (c Config) limitRanges() func(namespace string) ([]*corev1.LimitRange, error) {
	informer := c.Informers.Core().V1().LimitRanges()
	synced, lister := informer.Informer().HasSynced, informer.Lister()
	return func(namespace string) ([]*corev1.LimitRange, error) {
		if !synced() {
			return nil, errLimitsUnknown
		}
		return lister.LimitRanges(namespace).List(labels.Everything())
	}
}
