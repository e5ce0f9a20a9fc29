// Package history provides the controller that reports streams with a large history: a stream is
// written, sent and stored as a whole, so each push costs its whole size. It writes no stream.
//
// It writes a Kubernetes Event when a stream reaches stream.LargeBytes, and whenever its size has
// doubled since; two metrics count these streams.
package history

import (
	"context"
	"fmt"
	"math/bits"
	"sync"

	imagev1 "github.com/openshift/api/image/v1"
	imageinformers "github.com/openshift/client-go/image/informers/externalversions/image/v1"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/stream"
)

// ReasonLarge is the reason of the Events (Warning).
const ReasonLarge = "LargeImageStream"

// Bounds of the Events of all streams.
const (
	eventsPerSecond = 1
	eventsAtOnce    = 20
)

// Controller reports large streams. Run may be called again after it returned.
type Controller struct {
	informer cache.SharedIndexInformer
	recorder events.EventRecorder
}

// New returns a controller over an informer, which the caller starts.
func New(streams imageinformers.ImageStreamInformer, recorder events.EventRecorder) *Controller {
	registerMetrics()
	return &Controller{informer: streams.Informer(), recorder: recorder}
}

// Run reports until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	logger := klog.LoggerWithName(klog.FromContext(ctx), "history-controller")
	seen := newSizes(c.recorder)
	defer seen.clear()
	registration, err := c.informer.AddEventHandler(seen.handler())
	if err != nil {
		return fmt.Errorf("watching image streams: %w", err)
	}
	<-ctx.Done()
	if err := c.informer.RemoveEventHandler(registration); err != nil {
		logger.Error(err, "Removing the event handler of image streams failed")
	}
	return nil
}

// sizes records the size of each large stream, in bytes.
type sizes struct {
	recorder events.EventRecorder
	limit    *rate.Limiter

	mu    sync.Mutex
	large map[types.NamespacedName]int
	bytes int // of all of them
	done  bool
}

func newSizes(recorder events.EventRecorder) *sizes {
	return &sizes{recorder: recorder, limit: rate.NewLimiter(eventsPerSecond, eventsAtOnce), large: map[types.NamespacedName]int{}}
}

func (z *sizes) handler() cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { z.observe(obj.(*imagev1.ImageStream)) },
		UpdateFunc: func(before, after any) {
			if old, s := before.(*imagev1.ImageStream), after.(*imagev1.ImageStream); old.ResourceVersion != s.ResourceVersion {
				z.observe(s)
			}
		},
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if s, ok := obj.(*imagev1.ImageStream); ok {
				z.set(s, 0)
			}
		},
	}
}

// observe records the size of a stream and reports it if it reached another level.
func (z *sizes) observe(s *imagev1.ImageStream) {
	size := s.Size()
	if before := z.set(s, size); level(size) <= level(before) || !z.limit.Allow() {
		return
	}
	on := &corev1.ObjectReference{APIVersion: imagev1.GroupVersion.String(), Kind: "ImageStream", Namespace: s.Namespace, Name: s.Name, UID: s.UID}
	z.recorder.Eventf(on, nil, corev1.EventTypeWarning, ReasonLarge, "Measure",
		"the image stream takes %d KiB of %d KiB, and each push and import writes all of it; delete tags, or set the annotation %s to shorten the history",
		size>>10, stream.MaxBytes>>10, stream.AnnotationHistoryLimit)
}

// set records the size of a stream, and returns the size before, 0 if it was not large.
func (z *sizes) set(s *imagev1.ImageStream, size int) (before int) {
	key := types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.done {
		return before
	}
	before = z.large[key]
	if delete(z.large, key); level(size) > 0 {
		z.large[key] = size
		z.bytes += size
	}
	z.bytes -= before
	z.show()
	return before
}

// clear removes all streams from the count.
func (z *sizes) clear() {
	z.mu.Lock()
	defer z.mu.Unlock()
	clear(z.large)
	z.bytes, z.done = 0, true
	z.show()
}

func (z *sizes) show() {
	largeStreams.Set(float64(len(z.large)))
	largeBytes.Set(float64(z.bytes))
}

// level returns 0 below stream.LargeBytes, 1 from there on, and 1 more for each doubling.
func level(size int) int { return bits.Len(uint(size / stream.LargeBytes)) }
