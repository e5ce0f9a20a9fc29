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

// Controller imports what image streams ask for. Run may be called again after it
// returned.
type Controller struct {
	options  Options
	informer cache.SharedIndexInformer
	secrets  []cache.SharedIndexInformer
	effects  effects
}

// effects are all the ways in which the controller touches the world.
type effects struct {
	// stream reads the cache. What it returns must not be changed. NotFound when there
	// is no such stream.
	stream func(namespace, name string) (*imagev1.ImageStream, error)
	// streams reads all of a namespace from the cache, in no order.
	streams func(namespace string) ([]*imagev1.ImageStream, error)
	// live reads the API.
	live func(ctx context.Context, namespace, name string) (*imagev1.ImageStream, error)
	// post makes an import; see importrequest.Client.Post.
	post func(context.Context, *imagev1.ImageStreamImport, importrequest.Why) (*imagev1.ImageStreamImport, error)
	// writeStatus writes imagestreams/status. Conflict when the stream changed.
	writeStatus func(context.Context, *imagev1.ImageStream) (*imagev1.ImageStream, error)
	// announce writes Kubernetes Events.
	announce *announcer
	now      func() time.Time
	// random is uniform over [0, 1).
	random func() float64
}

// New makes a controller over a client of the image API, an informer of streams, a recorder of
// Events, and informers of pull secrets, of which SecretMetadata is enough. The caller starts
// the informers. The client needs the rights to get image streams,
// to update imagestreams/status and to create imagestreamimports; its configuration
// must neither set a Timeout nor bound requests per second below what Workers can do.
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

// Run imports until ctx ends, and returns when all its workers have. Requests under way
// are given up then; what they were to bring is asked for again at the next start.
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
			logger.Error(err, "Stopping the watch of image streams failed")
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
