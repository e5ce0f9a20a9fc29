package standalone

import (
	"context"
	"fmt"

	imageclient "github.com/openshift/client-go/image/clientset/versioned"
	imagescheme "github.com/openshift/client-go/image/clientset/versioned/scheme"
	imageinformers "github.com/openshift/client-go/image/informers/externalversions"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"

	"weir.dev/weir/internal/controller/history"
	"weir.dev/weir/internal/controller/imageimport"
	"weir.dev/weir/internal/controller/schedule"
)

// controller is a part that works until its context ends.
type controller struct {
	name string
	run  func(context.Context) error
}

// startControllers starts the controllers that are switched on, over one cache
// of all streams.
func (s *Server) startControllers() error {
	images, err := imageclient.NewForConfig(s.loopbackFor("controllers"))
	if err != nil {
		return fmt.Errorf("making the controllers' client: %w", err)
	}
	client, err := kubernetes.NewForConfig(s.loopbackFor("controllers"))
	if err != nil {
		return fmt.Errorf("making the controllers' client of the host: %w", err)
	}
	informers := imageinformers.NewSharedInformerFactory(images, 0)
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	recorder := broadcaster.NewRecorder(imagescheme.Scheme, "weir-controllers")

	var secrets []cache.SharedIndexInformer
	if s.options.runs(ControllerImport) {
		if secrets, err = s.watchSecrets(); err != nil {
			broadcaster.Shutdown()
			return err
		}
	}
	enabled, err := s.controllers(images, client, informers, recorder, secrets)
	if err != nil || len(enabled) == 0 {
		broadcaster.Shutdown()
		return err
	}
	informers.Start(s.parts.ctx.Done())
	for _, informer := range secrets {
		s.parts.start("pull secrets", func(ctx context.Context) error {
			informer.RunWithContext(ctx)
			return nil
		})
	}
	for _, c := range enabled {
		s.parts.start("controller "+c.name, c.run)
	}
	s.parts.start("events", func(ctx context.Context) error {
		defer broadcaster.Shutdown()
		if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
	s.parts.start("stream cache", func(ctx context.Context) error {
		<-ctx.Done()
		informers.Shutdown()
		return nil
	})
	return nil
}

// watchSecrets makes informers of the metadata of pull secrets, by type. They are not started.
func (s *Server) watchSecrets() ([]cache.SharedIndexInformer, error) {
	client, err := metadata.NewForConfig(s.loopbackFor("controllers"))
	if err != nil {
		return nil, fmt.Errorf("making the controllers' client of pull secrets: %w", err)
	}
	var all []cache.SharedIndexInformer
	for _, kind := range []corev1.SecretType{corev1.SecretTypeDockerConfigJson, corev1.SecretTypeDockercfg} {
		informer := metadatainformer.NewFilteredMetadataInformer(client, corev1.SchemeGroupVersion.WithResource("secrets"), metav1.NamespaceAll, 0,
			cache.Indexers{}, func(o *metav1.ListOptions) { o.FieldSelector = "type=" + string(kind) }).Informer()
		if err := informer.SetTransform(imageimport.SecretMetadata); err != nil {
			return nil, fmt.Errorf("watching pull secrets: %w", err)
		}
		all = append(all, informer)
	}
	return all, nil
}

// controllers is the table of all controllers; those switched on are made.
func (s *Server) controllers(images imageclient.Interface, host kubernetes.Interface, informers imageinformers.SharedInformerFactory, recorder events.EventRecorder, secrets []cache.SharedIndexInformer) ([]controller, error) {
	streams := informers.Image().V1().ImageStreams()
	settings := s.options.Config
	table := []struct {
		name string
		make func() (func(context.Context) error, error)
	}{
		{ControllerImport, func() (func(context.Context) error, error) {
			c, err := imageimport.New(images.ImageV1(), streams, recorder, settings.ImportControllerOptions(), secrets...)
			if err != nil {
				return nil, err
			}
			return c.Run, nil
		}},
		{ControllerSchedule, func() (func(context.Context) error, error) {
			c, err := schedule.New(images.ImageV1(), streams, recorder, schedule.NewProgress(host), settings.ScheduleOptions())
			if err != nil {
				return nil, err
			}
			return c.Run, nil
		}},
		{ControllerHistory, func() (func(context.Context) error, error) { return history.New(streams, recorder).Run, nil }},
	}
	var enabled []controller
	for _, entry := range table {
		if !s.options.runs(entry.name) {
			continue
		}
		run, err := entry.make()
		if err != nil {
			return nil, fmt.Errorf("making the controller %s: %w", entry.name, err)
		}
		enabled = append(enabled, controller{entry.name, run})
	}
	return enabled, nil
}
