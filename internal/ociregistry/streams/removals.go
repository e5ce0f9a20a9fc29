package streams

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/reference"
)

// Pauses between attempts to tell of something that is gone.
const (
	removalBase = 100 * time.Millisecond
	removalMax  = 10 * time.Minute
)

// removals tells the options' hooks of streams and namespaces that are gone. What was
// made again in the meantime is not told of: its content would go with it.
type removals struct {
	options Options
	api     *api
	// queue has a stream, or a namespace without a name. It is there while run runs.
	queue atomic.Pointer[queue]
}

type queue struct {
	workqueue.TypedRateLimitingInterface[types.NamespacedName]
}

func newRemovals(o Options, a *api) *removals { return &removals{options: o, api: a} }

func (r *removals) streamGone(id types.NamespacedName) {
	if r.options.OnDeleted != nil {
		r.add(id)
	}
}

func (r *removals) add(id types.NamespacedName) {
	if q := r.queue.Load(); q != nil {
		q.Add(id)
	}
}

// run tells until ctx ends.
func (r *removals) run(ctx context.Context) {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](removalBase, removalMax)
	q := &queue{workqueue.NewTypedRateLimitingQueue(limiter)}
	r.queue.Store(q)
	var working sync.WaitGroup
	working.Go(func() {
		for {
			id, shutdown := q.Get()
			if shutdown {
				return
			}
			r.handle(ctx, q, id)
			q.Done(id)
		}
	})
	<-ctx.Done()
	q.ShutDown()
	working.Wait()
}

func (r *removals) handle(ctx context.Context, q *queue, id types.NamespacedName) {
	err := r.tell(ctx, id)
	switch {
	case err == nil:
		q.Forget(id)
	case ctx.Err() == nil:
		klog.FromContext(ctx).Error(err, "Removing what the registry keeps of a deleted stream or namespace; trying again", "namespace", id.Namespace, "imageStream", id.Name)
		q.AddRateLimited(id)
	}
}

// tell calls the hook for what is surely gone.
func (r *removals) tell(ctx context.Context, id types.NamespacedName) error {
	asking, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if id.Name == "" {
		if gone, err := r.api.namespaceGone(asking, id.Namespace); err != nil || !gone {
			return err
		}
		return r.options.OnNamespaceDeleted(ctx, id.Namespace)
	}
	if gone, err := r.api.streamGone(asking, id); err != nil || !gone {
		return err
	}
	return r.options.OnDeleted(ctx, reference.Repository{Namespace: id.Namespace, Stream: id.Name}.Key())
}

// namespaceInformer watches namespaces, of which it keeps the names; nil when nobody
// wants to be told of them.
func (r *removals) namespaceInformer() (cache.SharedIndexInformer, error) {
	if r.options.OnNamespaceDeleted == nil {
		return nil, nil
	}
	source := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return r.api.namespaces.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return r.api.namespaces.Watch(ctx, o)
		},
	}, r.api.namespaces)
	informer := cache.NewSharedIndexInformer(source, &metav1.PartialObjectMetadata{}, 0, cache.Indexers{})
	if err := informer.SetTransform(nameOnly); err != nil {
		return nil, err
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		DeleteFunc: func(obj any) {
			if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
				r.add(types.NamespacedName{Namespace: key})
			}
		},
	})
	return informer, err
}

func nameOnly(obj any) (any, error) {
	if m, ok := obj.(*metav1.PartialObjectMetadata); ok {
		m.ObjectMeta = metav1.ObjectMeta{Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion}
	}
	return obj, nil
}
