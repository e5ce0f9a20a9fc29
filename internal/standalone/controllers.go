package standalone

import (
	"context"
	"fmt"

	imageclient "github.com/openshift/client-go/image/clientset/versioned"
	imagescheme "github.com/openshift/client-go/image/clientset/versioned/scheme"
	imageinformers "github.com/openshift/client-go/image/informers/externalversions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"

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

	enabled, err := s.controllers(images, client, informers, recorder)
	if err != nil || len(enabled) == 0 {
		broadcaster.Shutdown()
		return err
	}
	informers.Start(s.parts.ctx.Done())
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

// controllers is the table of all controllers; those switched on are made.
func (s *Server) controllers(images imageclient.Interface, host kubernetes.Interface, informers imageinformers.SharedInformerFactory, recorder events.EventRecorder) ([]controller, error) {
	streams := informers.Image().V1().ImageStreams()
	settings := s.options.Config
	table := []struct {
		name string
		make func() (func(context.Context) error, error)
	}{
		{ControllerImport, func() (func(context.Context) error, error) {
			c, err := imageimport.New(images.ImageV1(), streams, recorder, settings.ImportControllerOptions())
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
