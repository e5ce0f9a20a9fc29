// Package freshstore provides a store that answers consistent reads of single objects from the watch
// cache where etcd has no newer version.
//
// A stream of a long history takes milliseconds to be read from etcd and decoded, and a tag of it is
// read with every pull of a node. Whether the watch cache has the present version of an object takes
// one small read of etcd, of its revision alone.
package freshstore

import (
	"context"
	"path"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
)

// Decorate returns a decorator that makes the stores of inner answer so.
func Decorate(inner generic.StorageDecorator) generic.StorageDecorator {
	return func(config *storagebackend.ConfigForResource, resourcePrefix string, keyFunc func(runtime.Object) (string, error),
		newFunc, newListFunc func() runtime.Object, getAttrs storage.AttrFunc, trigger storage.IndexerFuncs, indexers *cache.Indexers,
	) (storage.Interface, factory.DestroyFunc, error) {
		cached, destroy, err := inner(config, resourcePrefix, keyFunc, newFunc, newListFunc, getAttrs, trigger, indexers)
		if err != nil {
			return nil, nil, err
		}
		revisions, err := newRevisions(config.Transport)
		if err != nil {
			destroy()
			return nil, nil, err
		}
		return store{cached, newFunc, revisions.isAt, path.Join("/", config.Prefix)}, func() {
			revisions.close()
			destroy()
		}, nil
	}
}

type store struct {
	storage.Interface
	newFunc func() runtime.Object
	// isAt reports whether the last change of a key in etcd was at a revision, as of now.
	isAt   func(ctx context.Context, key string, revision uint64) bool
	prefix string // of all keys in etcd
}

// Get implements storage.Interface. An object from the watch cache shares memory with it, as one that
// is read with a resourceVersion does.
func (s store) Get(ctx context.Context, key string, opts storage.GetOptions, into runtime.Object) error {
	if opts.ResourceVersion != "" {
		return s.Interface.Get(ctx, key, opts, into)
	}
	cached := s.newFunc()
	if err := s.Interface.Get(ctx, key, storage.GetOptions{ResourceVersion: "0"}, cached); err != nil {
		return s.Interface.Get(ctx, key, opts, into)
	}
	version, err := s.Versioner().ObjectResourceVersion(cached)
	if err != nil || !s.isAt(ctx, s.prefix+key, version) {
		return s.Interface.Get(ctx, key, opts, into)
	}
	reflect.ValueOf(into).Elem().Set(reflect.ValueOf(cached).Elem())
	return nil
}
