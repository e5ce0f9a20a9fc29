package schedule

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	imageclient "github.com/openshift/client-go/image/clientset/versioned/typed/image/v1"
	imageinformers "github.com/openshift/client-go/image/informers/externalversions/image/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/controller/importrequest"
)

// Name is the controller's name, as in --controllers and in the user agent.
const Name = "schedule"

// Controller re-imports scheduled tags. Run may be called again after it returned.
type Controller struct {
	options  Options
	informer cache.SharedIndexInformer
	progress Progress
	effects  effects
}

// effects are the controller's side effects and inputs, replaceable in tests.
type effects struct {
	// stream reads the cache. The caller must not modify the result. NotFound if there is
	// no such stream.
	stream func(namespace, name string) (*imagev1.ImageStream, error)
	// post creates an import; see importrequest.Client.Post.
	post func(context.Context, *imagev1.ImageStreamImport, importrequest.Why) (*imagev1.ImageStreamImport, error)
	now  func() time.Time
	// recorder writes Kubernetes Events.
	recorder events.EventRecorder
	// random is uniform over [0, 1).
	random func() float64
}

// New returns a controller over a client of the image API and an informer, which the caller
// starts. The client needs the right to create imagestreamimports; its configuration must not
// set a Timeout.
func New(images imageclient.ImageV1Interface, streams imageinformers.ImageStreamInformer, recorder events.EventRecorder, progress Progress, o Options) (*Controller, error) {
	if errs := o.Validate(field.NewPath("schedule")); len(errs) > 0 {
		return nil, fmt.Errorf("options of the schedule controller: %w", errs.ToAggregate())
	}
	registerMetrics()
	lister := streams.Lister()
	return &Controller{
		options:  o,
		informer: streams.Informer(),
		progress: progress,
		effects: effects{
			stream: func(namespace, name string) (*imagev1.ImageStream, error) {
				return lister.ImageStreams(namespace).Get(name)
			},
			post:     importrequest.NewClient(images, o.Timeout.Duration).Post,
			now:      time.Now,
			recorder: recorder,
			random:   rand.Float64,
		},
	}, nil
}

// Run re-imports until ctx ends, and returns after all its workers. A disabled controller
// only waits for the end of ctx.
func (c *Controller) Run(ctx context.Context) error {
	logger := klog.LoggerWithName(klog.FromContext(ctx), "schedule-controller")
	ctx = klog.NewContext(ctx, logger)
	if c.options.Disabled {
		logger.Info("Scheduled imports are disabled")
		<-ctx.Done()
		return nil
	}
	r := newRun(c.options, c.effects, load(ctx, c.progress, c.effects.now))
	registration, err := c.informer.AddEventHandler(r.handler())
	if err != nil {
		return fmt.Errorf("watching image streams: %w", err)
	}
	defer func() {
		if err := c.informer.RemoveEventHandler(registration); err != nil {
			logger.Error(err, "Removing the event handler of image streams failed")
		}
	}()
	defer r.close()
	if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		return nil // ctx ended first
	}
	logger.Info("Started", "interval", c.options.Interval.Duration, "workers", c.options.Workers)
	defer logger.Info("Stopped")
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { r.keepProgress(ctx, c.progress) })
	beside.Go(func() { r.watchLag(ctx) })
	r.work(ctx)
	return nil
}

// handler updates the agenda.
func (r *run) handler() cache.ResourceEventHandlerDetailedFuncs {
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, isInInitialList bool) {
			s := obj.(*imagev1.ImageStream)
			if isInInitialList {
				r.resume(keyOf(s), r.options.Intervals().Slots(s))
				return
			}
			r.track(s)
		},
		UpdateFunc: func(before, after any) {
			if old, s := before.(*imagev1.ImageStream), after.(*imagev1.ImageStream); old.ResourceVersion != s.ResourceVersion {
				r.track(s)
			}
		},
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if s, ok := obj.(*imagev1.ImageStream); ok {
				r.set(keyOf(s), nil)
			}
		},
	}
}

func (r *run) track(s *imagev1.ImageStream) { r.set(keyOf(s), r.options.Intervals().Slots(s)) }

func keyOf(s *imagev1.ImageStream) types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
}
