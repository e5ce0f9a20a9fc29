package streams

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// namespaces keeps the UIDs of all namespaces, from a watch.
type namespaces struct {
	api      *api
	informer cache.SharedIndexInformer
}

// newNamespaces calls gone for each namespace that is deleted.
func newNamespaces(a *api, gone func(name string)) (*namespaces, error) {
	source := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return a.namespaces.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return a.namespaces.Watch(ctx, o)
		},
	}, a.namespaces)
	informer := cache.NewSharedIndexInformer(source, &metav1.PartialObjectMetadata{}, 0, cache.Indexers{})
	if err := informer.SetTransform(identityOnly); err != nil {
		return nil, err
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(before, after any) { // a new list may have the next one of that name
			was, ok := before.(*metav1.PartialObjectMetadata)
			if is, both := after.(*metav1.PartialObjectMetadata); ok && both && was.UID != is.UID {
				gone(is.Name)
			}
		},
		DeleteFunc: func(obj any) {
			if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
				gone(key)
			}
		},
	})
	return &namespaces{api: a, informer: informer}, err
}

// identityOnly drops what the registry does not use of a namespace.
func identityOnly(obj any) (any, error) {
	if m, ok := obj.(*metav1.PartialObjectMetadata); ok {
		m.ObjectMeta = metav1.ObjectMeta{Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion, CreationTimestamp: m.CreationTimestamp}
	}
	return obj, nil
}

// get is the metadata of a namespace, nil if there is none. One that the watch does not
// know yet is read from the API, whose error it returns.
func (n *namespaces) get(ctx context.Context, name string) (*metav1.PartialObjectMetadata, error) {
	if obj, found, _ := n.informer.GetStore().GetByKey(name); found {
		if m, ok := obj.(*metav1.PartialObjectMetadata); ok {
			return m, nil
		}
	}
	return n.read(ctx, name)
}

// read is get from the API.
func (n *namespaces) read(ctx context.Context, name string) (*metav1.PartialObjectMetadata, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	m, err := n.api.namespaces.Get(ctx, name, getOptions)
	if missing(err, name) {
		return nil, nil
	}
	return m, err
}
