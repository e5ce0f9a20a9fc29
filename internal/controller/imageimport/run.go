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

	"weir.dev/weir/internal/controller/importrequest"
	"weir.dev/weir/internal/stream"
)

// Back-off of streams whose import failed as a whole.
const (
	requeueBase = time.Millisecond
	requeueMax  = 1000 * time.Second
)

type queue[T comparable] = workqueue.TypedRateLimitingInterface[T]

func newQueue[T comparable](name string) queue[T] {
	return workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[T](requeueBase, requeueMax),
		workqueue.TypedRateLimitingQueueConfig[T]{Name: name},
	)
}

// importKey identifies an import: the tags of a stream from one registry. A registry that
// hangs does not delay tags of the same stream from another one.
type importKey struct {
	types.NamespacedName
	host string
}

// run is the state of one call of Controller.Run.
type run struct {
	options Options
	effects
	imports queue[importKey]
	retries queue[types.NamespacedName]
	// secrets are namespaces whose pull secrets changed. One worker processes them; only it
	// uses lastSecrets, the time when it last ended the pauses of a namespace.
	secrets     queue[string]
	lastSecrets map[string]time.Time

	memory *memory
	slots  *hostSlots
	// retrySlots are the slots of the workers for retries.
	retrySlots *importrequest.HostSlots
}

func newRun(o Options, e effects) *run {
	return &run{
		options: o,
		effects: e,
		imports: newQueue[importKey]("weir_import"),
		retries: newQueue[types.NamespacedName]("weir_import_retry"),
		secrets: newQueue[string]("weir_import_secret"),
		memory:  newMemory(),

		lastSecrets: map[string]time.Time{},
		slots:       newHostSlots(o.Workers),
		retrySlots:  importrequest.NewHostSlots(o.Retry.Workers),
	}
}

// work runs the workers until ctx ends and they have returned.
func (r *run) work(ctx context.Context) {
	var workers sync.WaitGroup
	for range r.options.Workers {
		workers.Go(func() { drain(ctx, r.imports, importKey.logged, r.syncImport) })
	}
	if !r.options.Retry.Disabled {
		for range r.options.Retry.Workers {
			workers.Go(func() { drain(ctx, r.retries, logged, r.syncRetries) })
		}
		workers.Go(func() { drain(ctx, r.secrets, loggedNamespace, r.syncSecrets) })
	}
	<-ctx.Done()
	r.stop()
	workers.Wait()
	r.memory.close() // after the last worker that counts
}

func (r *run) stop() {
	r.imports.ShutDown()
	r.retries.ShutDown()
	r.secrets.ShutDown()
}

// drain calls sync for the items of a queue until the queue is shut down. An item whose sync
// fails is retried with back-off. words returns the log attributes of an item.
func drain[T comparable](ctx context.Context, q queue[T], words func(T) []any, sync func(context.Context, T) error) {
	for {
		item, shutdown := q.Get()
		if shutdown {
			return
		}
		if ctx.Err() == nil {
			handle(ctx, q, item, klog.FromContext(ctx).WithValues(words(item)...), sync)
		}
		q.Done(item)
	}
}

func handle[T comparable](ctx context.Context, q queue[T], item T, logger klog.Logger, sync func(context.Context, T) error) {
	err := sync(klog.NewContext(ctx, logger), item)
	switch {
	case err == nil:
		q.Forget(item)
	case ctx.Err() == nil:
		logger.V(2).Info("Retrying later", "err", err, "failures", q.NumRequeues(item)+1)
		q.AddRateLimited(item)
	}
}

func logged(key types.NamespacedName) []any {
	return []any{"imageStream", klog.KRef(key.Namespace, key.Name)}
}

func (k importKey) logged() []any { return append(logged(k.NamespacedName), "registry", k.host) }

// handler puts changed streams into the queues.
func (r *run) handler() cache.ResourceEventHandlerDetailedFuncs {
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, isInInitialList bool) {
			s := obj.(*imagev1.ImageStream)
			r.enqueue(nil, s)
			if !isInInitialList { // a restart must not repeat Events
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
	for _, host := range importrequest.Hosts(after, stream.ImportNeeds(after)) {
		r.imports.Add(importKey{key, host})
	}
	if hasFailures(after) || (before != nil && hasFailures(before)) {
		r.lookAtRetries(key)
	}
}

// lookAtRetries queues a stream for a sync of its failed tags.
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
