// Package watchprogress provides stores whose consistent lists do not wait for a clock.
//
// A consistent list is answered from the watch cache once that is known to be as new as etcd. The
// cache of one resource learns that from its watch alone: if what was written last is of another
// resource, it has to ask etcd for the progress of the watch. Kubernetes asks ten times a second,
// so that a list after any write takes 50 ms on average, and an import or a first pull, which read
// the pull secrets of their namespace, with it. The stores of this package ask as soon as a list
// has waited for a millisecond.
package watchprogress

import (
	"context"
	"time"

	"google.golang.org/grpc/metadata"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/tools/cache"
)

const (
	// firstPause is how long a list may take before the first request to etcd; the pause doubles each time.
	firstPause = time.Millisecond
	// lastPause is where the cache's own clock takes over.
	lastPause = 100 * time.Millisecond
)

// Stores decorates all stores of a getter.
func Stores(getter generic.RESTOptionsGetter) generic.RESTOptionsGetter { return stores{getter} }

type stores struct{ generic.RESTOptionsGetter }

// GetRESTOptions implements generic.RESTOptionsGetter.
func (s stores) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	options, err := s.RESTOptionsGetter.GetRESTOptions(resource, example)
	if err == nil {
		options.Decorator = Decorate(options.Decorator)
	}
	return options, err
}

// Decorate decorates the stores that inner makes.
func Decorate(inner generic.StorageDecorator) generic.StorageDecorator {
	return func(config *storagebackend.ConfigForResource, prefix string, key func(runtime.Object) (string, error),
		newObject, newList func() runtime.Object, attributes storage.AttrFunc, trigger storage.IndexerFuncs, indexers *cache.Indexers,
	) (storage.Interface, factory.DestroyFunc, error) {
		s, destroy, err := inner(config, prefix, key, newObject, newList, attributes, trigger, indexers)
		if err != nil {
			return nil, nil, err
		}
		return store{s}, destroy, nil
	}
}

type store struct{ storage.Interface }

// GetList implements storage.Interface.
func (s store) GetList(ctx context.Context, key string, opts storage.ListOptions, list runtime.Object) error {
	if opts.ResourceVersion == "" && opts.Predicate.Continue == "" {
		defer s.ask(ctx)()
	}
	return s.Interface.GetList(ctx, key, opts, list)
}

// Watch implements storage.Interface. A watch that begins with a list waits as that does.
func (s store) Watch(ctx context.Context, key string, opts storage.ListOptions) (watch.Interface, error) {
	if opts.SendInitialEvents != nil && *opts.SendInitialEvents && opts.ResourceVersion == "" {
		defer s.ask(ctx)()
	}
	return s.Interface.Watch(ctx, key, opts)
}

// ask requests the progress of the cache's watch until done is called. Errors are the cache's to
// report, which asks too.
func (s store) ask(ctx context.Context) (done func()) {
	if utilfeature.DefaultFeatureGate.Enabled(features.SeparateCacheWatchRPC) {
		// As in the cache: the request has to go over the connection of its watch.
		ctx = metadata.NewOutgoingContext(ctx, metadata.Pairs("source", "cache"))
	}
	stopped := make(chan struct{})
	go func() {
		for pause := firstPause; pause < lastPause; pause *= 2 {
			select {
			case <-time.After(pause):
				_ = s.RequestWatchProgress(ctx)
			case <-stopped:
				return
			}
		}
	}()
	return func() { close(stopped) }
}
