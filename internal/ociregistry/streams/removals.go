package streams

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
)

const (
	// removalGrace is the time between the end of a stream and the removal of its links. A
	// tag that was copied from it in its last moment is known by then.
	removalGrace = 10 * time.Second
	// releaseSpan is the time of which all links that a stream releases are removed at once.
	releaseSpan = time.Second
	// removalWorkers is how many streams are removed at a time.
	removalWorkers = 4
	// Pauses between attempts at a removal that fails.
	removalBase = 100 * time.Millisecond
	removalMax  = 10 * time.Minute
)

// removals calls the options' hooks for streams and namespaces that are gone.
type removals struct {
	options Options
	api     *api
	grace   time.Duration
	// queue is there while run runs.
	queue atomic.Pointer[removalQueue]
}

// removal is a stream that is gone, or released links, or is a namespace that is gone, which
// has no name.
type removal struct {
	id       types.NamespacedName
	uid      types.UID
	released bool
	seen     time.Time
	// again is true for the second look at a namespace, at what was written during the first.
	again bool
}

type removalQueue struct {
	workqueue.TypedRateLimitingInterface[removal]
}

func newRemovals(o Options, a *api) *removals {
	return &removals{options: o, api: a, grace: removalGrace}
}

func (r *removals) streamGone(id types.NamespacedName, uid types.UID) {
	if r.options.OnDeleted != nil {
		r.add(removal{id: id, uid: uid, seen: r.options.Now()})
	}
}

func (r *removals) namespaceGone(name string) {
	if r.options.OnNamespaceDeleted != nil {
		r.add(removal{id: types.NamespacedName{Namespace: name}, seen: r.options.Now()})
	}
}

// released is called when links of a stream were released.
func (r *removals) released(id types.NamespacedName, uid types.UID) {
	if r.options.OnReleased != nil {
		r.add(removal{id: id, uid: uid, released: true, seen: r.options.Now().Truncate(releaseSpan).Add(releaseSpan)})
	}
}

func (r *removals) add(gone removal) {
	if q := r.queue.Load(); q != nil {
		q.AddAfter(gone, r.grace)
	}
}

// run works until ctx ends. What waits then is found again by a reconciliation.
func (r *removals) run(ctx context.Context) {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[removal](removalBase, removalMax)
	q := &removalQueue{workqueue.NewTypedRateLimitingQueue(limiter)}
	r.queue.Store(q)
	var working sync.WaitGroup
	for range removalWorkers {
		working.Go(func() {
			for {
				gone, shutdown := q.Get()
				if shutdown {
					return
				}
				r.handle(ctx, q, gone)
				q.Done(gone)
			}
		})
	}
	<-ctx.Done()
	q.ShutDown()
	working.Wait()
}

func (r *removals) handle(ctx context.Context, q *removalQueue, gone removal) {
	err := r.remove(ctx, gone)
	switch {
	case err == nil:
		q.Forget(gone)
		if gone.id.Name == "" && !gone.again {
			gone.again, gone.seen = true, r.options.Now()
			q.AddAfter(gone, r.grace)
		}
	case ctx.Err() == nil:
		klog.FromContext(ctx).Error(err, "Removing the links of a deleted image stream or namespace failed; retrying",
			"namespace", gone.id.Namespace, "imageStream", gone.id.Name)
		q.AddRateLimited(gone)
	}
}

// remove calls the hook for a stream or namespace that the API confirms to be gone.
func (r *removals) remove(ctx context.Context, gone removal) error {
	repository := blobstore.Repository{Name: gone.id.String(), Stream: string(gone.uid)}
	switch {
	case gone.id.Name == "":
		return r.options.OnNamespaceDeleted(ctx, gone.id.Namespace, gone.seen)
	case gone.released:
		return r.options.OnReleased(ctx, repository, gone.seen)
	}
	reading, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	s, err := r.api.stream(reading, gone.id)
	if err = unlessMissing(err, gone.id.Name); err != nil || s != nil && s.UID == gone.uid {
		return err
	}
	return r.options.OnDeleted(ctx, repository, gone.seen)
}
