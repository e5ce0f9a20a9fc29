package imageimport

import (
	"context"
	"sync"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// Back-off of streams whose import could not be made as a whole.
const (
	requeueBase = time.Millisecond
	requeueMax  = 1000 * time.Second
)

type queue = workqueue.TypedRateLimitingInterface[types.NamespacedName]

func newQueue(name string) queue {
	return workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](requeueBase, requeueMax),
		workqueue.TypedRateLimitingQueueConfig[types.NamespacedName]{Name: name},
	)
}

// run is the controller between a start and a stop.
type run struct {
	options Options
	effects
	imports queue
	retries queue
	memory  *memory
}

func newRun(o Options, e effects) *run {
	return &run{
		options: o,
		effects: e,
		imports: newQueue("weir_import"),
		retries: newQueue("weir_import_retry"),
		memory:  newMemory(),
	}
}

// work runs the workers until ctx ends and they have returned.
func (r *run) work(ctx context.Context) {
	var workers sync.WaitGroup
	for range r.options.Workers {
		workers.Go(func() { r.drain(ctx, r.imports, r.syncImport) })
	}
	if !r.options.Retry.Disabled {
		for range r.options.Retry.Workers {
			workers.Go(func() { r.drain(ctx, r.retries, r.syncRetries) })
		}
	}
	<-ctx.Done()
	r.stop()
	workers.Wait()
	r.memory.close() // after the last worker that counts
}

func (r *run) stop() {
	r.imports.ShutDown()
	r.retries.ShutDown()
}

// drain hands the streams of a queue to sync until the queue is shut down. A stream
// whose sync fails comes back after a while.
func (r *run) drain(ctx context.Context, q queue, sync func(context.Context, types.NamespacedName) error) {
	for {
		key, shutdown := q.Get()
		if shutdown {
			return
		}
		if ctx.Err() == nil {
			r.handle(ctx, q, key, sync)
		}
		q.Done(key)
	}
}

func (r *run) handle(ctx context.Context, q queue, key types.NamespacedName, sync func(context.Context, types.NamespacedName) error) {
	logger := klog.FromContext(ctx).WithValues("imageStream", klog.KRef(key.Namespace, key.Name))
	err := sync(klog.NewContext(ctx, logger), key)
	switch {
	case err == nil:
		q.Forget(key)
	case ctx.Err() == nil:
		logger.V(2).Info("Trying again later", "err", err, "failures", q.NumRequeues(key)+1)
		q.AddRateLimited(key)
	}
}

// handler puts streams that change into the queues.
func (r *run) handler() cache.ResourceEventHandlerDetailedFuncs {
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, isInInitialList bool) {
			s := obj.(*imagev1.ImageStream)
			r.enqueue(nil, s)
			if !isInInitialList { // what a restart finds is no news
				r.tell(nil, s)
			}
		},
		UpdateFunc: func(before, after any) {
			old, s := before.(*imagev1.ImageStream), after.(*imagev1.ImageStream)
			r.enqueue(old, s)
			if old.ResourceVersion != s.ResourceVersion {
				r.tell(old, s)
			}
		},
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if s, ok := obj.(*imagev1.ImageStream); ok {
				r.lookAtRetries(keyOf(s)) // to be forgotten
			}
		},
	}
}

func (r *run) enqueue(before, after *imagev1.ImageStream) {
	key := keyOf(after)
	r.imports.Add(key)
	if hasFailures(after) || (before != nil && hasFailures(before)) {
		r.lookAtRetries(key)
	}
}

// lookAtRetries has somebody look at the failed tags of a stream.
func (r *run) lookAtRetries(key types.NamespacedName) {
	if !r.options.Retry.Disabled {
		r.retries.Add(key)
	}
}

func (r *run) tell(before, after *imagev1.ImageStream) {
	for _, n := range newsOf(before, after) {
		r.announce.news(after, n)
	}
}

func keyOf(s *imagev1.ImageStream) types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
}
