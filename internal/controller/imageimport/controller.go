package imageimport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	imageclient "github.com/openshift/client-go/image/clientset/versioned/typed/image/v1"
	imageinformers "github.com/openshift/client-go/image/informers/externalversions/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/controller/importrequest"
)

// Name is the controller's name, as in --controllers and in the user agent.
const Name = "import"

// Controller imports the spec tags of image streams. Run may be called again after it
// returned.
type Controller struct {
	options  Options
	informer cache.SharedIndexInformer
	secrets  []cache.SharedIndexInformer
	effects  effects
}

// effects are the controller's side effects and inputs, replaceable in tests.
type effects struct {
	// stream reads the cache. The caller must not modify the result. NotFound if there is
	// no such stream.
	stream func(namespace, name string) (*imagev1.ImageStream, error)
	// streams reads all streams of a namespace from the cache, in no particular order.
	streams func(namespace string) ([]*imagev1.ImageStream, error)
	// live reads the API.
	live func(ctx context.Context, namespace, name string) (*imagev1.ImageStream, error)
	// post creates an import; see importrequest.Client.Post.
	post func(context.Context, *imagev1.ImageStreamImport, importrequest.Why) (*imagev1.ImageStreamImport, error)
	// writeStatus writes imagestreams/status. Conflict if the stream changed.
	writeStatus func(context.Context, *imagev1.ImageStream) (*imagev1.ImageStream, error)
	// announce writes Kubernetes Events.
	announce *announcer
	now      func() time.Time
	// random is uniform over [0, 1).
	random func() float64
}

// New returns a controller over a client of the image API, an informer of streams, a recorder of
// Events, and informers of pull secrets, which may use the transform SecretMetadata. The caller
// starts the informers. The client needs the rights to get image streams, to update
// imagestreams/status and to create imagestreamimports; its configuration must not set a Timeout
// or a rate limit too low for Workers.
func New(images imageclient.ImageV1Interface, streams imageinformers.ImageStreamInformer, recorder events.EventRecorder, o Options, secrets ...cache.SharedIndexInformer) (*Controller, error) {
	if errs := o.Validate(field.NewPath("import")); len(errs) > 0 {
		return nil, fmt.Errorf("options of the import controller: %w", errs.ToAggregate())
	}
	registerMetrics()
	lister := streams.Lister()
	return &Controller{
		options:  o,
		informer: streams.Informer(),
		secrets:  secrets,
		effects: effects{
			stream: func(namespace, name string) (*imagev1.ImageStream, error) {
				return lister.ImageStreams(namespace).Get(name)
			},
			streams: func(namespace string) ([]*imagev1.ImageStream, error) {
				return lister.ImageStreams(namespace).List(labels.Everything())
			},
			live: func(ctx context.Context, namespace, name string) (*imagev1.ImageStream, error) {
				return images.ImageStreams(namespace).Get(ctx, name, metav1.GetOptions{})
			},
			post: importrequest.NewClient(images, o.Timeout.Duration).Post,
			writeStatus: func(ctx context.Context, s *imagev1.ImageStream) (*imagev1.ImageStream, error) {
				return images.ImageStreams(s.Namespace).UpdateStatus(ctx, s, metav1.UpdateOptions{})
			},
			announce: newAnnouncer(recorder, o.EventsPerSecond),
			now:      time.Now,
			random:   rand.Float64,
		},
	}, nil
}

// Run imports until ctx ends, and returns after all its workers. It cancels requests in
// flight; the next start repeats them.
func (c *Controller) Run(ctx context.Context) error {
	logger := klog.LoggerWithName(klog.FromContext(ctx), "import-controller")
	ctx = klog.NewContext(ctx, logger)
	r := newRun(c.options, c.effects)
	registration, err := c.informer.AddEventHandler(r.handler())
	if err != nil {
		return fmt.Errorf("watching image streams: %w", err)
	}
	defer func() {
		if err := c.informer.RemoveEventHandler(registration); err != nil {
			logger.Error(err, "Removing the event handler of image streams failed")
		}
	}()
	stopSecrets, err := c.watchSecrets(r)
	if err != nil {
		return err
	}
	defer stopSecrets()
	if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
		r.stop()
		return nil // ctx ended first
	}
	logger.Info("Started", "workers", c.options.Workers, "retries", !c.options.Retry.Disabled)
	defer logger.Info("Stopped")
	r.work(ctx)
	return nil
}
