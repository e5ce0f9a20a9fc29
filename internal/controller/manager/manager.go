// Package manager runs the enabled controllers of Weir over one cache of image streams, in the one
// of several processes that holds a Lease.
//
// A process that loses the Lease stops its controllers and applies for it again. The state of the
// controllers is in the API, so that the next holder continues from it.
package manager

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	imageclient "github.com/openshift/client-go/image/clientset/versioned"
	imagescheme "github.com/openshift/client-go/image/clientset/versioned/scheme"
	imageinformers "github.com/openshift/client-go/image/informers/externalversions"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/controller-manager/app"

	"weir.dev/weir/internal/controller/history"
	"weir.dev/weir/internal/controller/imageimport"
	"weir.dev/weir/internal/controller/schedule"
)

// Names of the controllers, as values of --controllers.
const (
	Import   = "import"
	Schedule = "schedule"
	History  = "history"
)

// Names returns the names of all controllers.
func Names() []string { return []string{Import, Schedule, History} }

// none is the value of --controllers that disables all.
const none = "none"

// Selection is the value of --controllers: "*" enables all, a name enables one, "-" and a name
// disables one; "none" alone disables all.
type Selection []string

// Runs reports whether a controller is enabled.
func (s Selection) Runs(name string) bool {
	return !slices.Equal(s, Selection{none}) && app.IsControllerEnabled(name, sets.NewString(), s)
}

// Validate returns an error for each unknown entry.
func (s Selection) Validate() []error {
	var errs []error
	for _, c := range s {
		name := strings.TrimPrefix(c, "-")
		if name == "*" || slices.Contains(Names(), name) || (c == none && len(s) == 1) {
			continue
		}
		errs = append(errs, fmt.Errorf("--controllers: %q is not a controller; the controllers are %s; 'none' must be the only value", c, strings.Join(Names(), ", ")))
	}
	return errs
}

// Options configure the manager.
type Options struct {
	// Controllers selects the controllers to run.
	Controllers Selection
	Import      imageimport.Options
	Schedule    schedule.Options
	// Election chooses the process that runs them.
	Election Election
}

// Validate returns an error with all mistakes.
func (o Options) Validate() error {
	errs := o.Controllers.Validate()
	for _, err := range append(o.Import.Validate(field.NewPath("imports")), o.Schedule.Validate(field.NewPath("schedule"))...) {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, o.Election.validate())...)
}

// Manager runs controllers. Run may be called once.
type Manager struct {
	options  Options
	images   imageclient.Interface
	host     kubernetes.Interface
	metadata metadata.Interface
}

// New returns a manager that is a client of an API server. The client needs the rights of the role
// weir:controllers.
func New(config *rest.Config, o Options) (*Manager, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	m := &Manager{options: o}
	var errs [3]error
	m.images, errs[0] = imageclient.NewForConfig(config)
	m.host, errs[1] = kubernetes.NewForConfig(config)
	m.metadata, errs[2] = metadata.NewForConfig(config)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("creating the controllers' clients: %w", err)
	}
	return m, nil
}

// Run runs the controllers while this process holds the Lease, until ctx ends. The error is that
// of a controller that failed.
func (m *Manager) Run(ctx context.Context) error {
	if !slices.ContainsFunc(Names(), m.options.Controllers.Runs) {
		return nil
	}
	return m.options.Election.lead(ctx, m.host, m.work)
}

// work runs the controllers until ctx ends or one of them fails, and waits for all.
func (m *Manager) work(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	factory := imageinformers.NewSharedInformerFactory(m.images, 0)
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: m.host.EventsV1()})
	defer broadcaster.Shutdown()
	runs, err := m.controllers(factory, broadcaster.NewRecorder(imagescheme.Scheme, "weir-controllers"))
	if err != nil {
		return err
	}
	if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		return fmt.Errorf("recording Events: %w", err)
	}
	factory.Start(ctx.Done())
	for _, run := range runs {
		group.Go(func() error { return run(ctx) })
	}
	err = group.Wait()
	factory.Shutdown()
	return err
}

// controllers creates the enabled controllers, over one informer of image streams.
func (m *Manager) controllers(factory imageinformers.SharedInformerFactory, recorder events.EventRecorder) (runs []func(context.Context) error, err error) {
	streams, o := factory.Image().V1().ImageStreams(), m.options
	if o.Controllers.Runs(Import) {
		secrets, err := m.secrets()
		if err != nil {
			return nil, err
		}
		c, err := imageimport.New(m.images.ImageV1(), streams, recorder, o.Import, secrets...)
		if err != nil {
			return nil, fmt.Errorf("creating the controller %s: %w", Import, err)
		}
		runs = append(runs, c.Run)
		for _, informer := range secrets {
			runs = append(runs, func(ctx context.Context) error {
				informer.RunWithContext(ctx)
				return nil
			})
		}
	}
	if o.Controllers.Runs(Schedule) {
		c, err := schedule.New(m.images.ImageV1(), streams, recorder, schedule.NewProgress(m.host), o.Schedule)
		if err != nil {
			return nil, fmt.Errorf("creating the controller %s: %w", Schedule, err)
		}
		runs = append(runs, c.Run)
	}
	if o.Controllers.Runs(History) {
		runs = append(runs, history.New(streams, recorder).Run)
	}
	return runs, nil
}

// secrets returns informers of the metadata of pull secrets, by type.
func (m *Manager) secrets() ([]cache.SharedIndexInformer, error) {
	var all []cache.SharedIndexInformer
	for _, kind := range []corev1.SecretType{corev1.SecretTypeDockerConfigJson, corev1.SecretTypeDockercfg} {
		informer := metadatainformer.NewFilteredMetadataInformer(m.metadata, corev1.SchemeGroupVersion.WithResource("secrets"), metav1.NamespaceAll, 0,
			cache.Indexers{}, func(o *metav1.ListOptions) { o.FieldSelector = "type=" + string(kind) }).Informer()
		if err := informer.SetTransform(imageimport.SecretMetadata); err != nil {
			return nil, fmt.Errorf("watching pull secrets: %w", err)
		}
		all = append(all, informer)
	}
	return all, nil
}
