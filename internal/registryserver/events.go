package registryserver

import (
	"context"
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	imagescheme "github.com/openshift/client-go/image/clientset/versioned/scheme"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/events"

	"weir.dev/weir/internal/component"
	"weir.dev/weir/internal/hostclient"
	"weir.dev/weir/internal/reference"
)

// Reasons of the registry's Events.
const (
	// reasonBlobDamaged is about a stored blob whose data has another digest.
	reasonBlobDamaged = "BlobDamaged"
	// reasonContentMissing is about an image stream whose content is not in storage.
	reasonContentMissing = "ContentMissing"
	// reasonKeepFailed is about an image stream whose images could not be kept at import.
	reasonKeepFailed = "KeepFailed"
)

// maxEventNote is the longest note of an Event that the API accepts, in bytes.
const maxEventNote = 1024

// recordEvents makes the recorder of the registry's Events and starts what sends them.
func (r *Registry) recordEvents(g *component.Group) error {
	client, err := kubernetes.NewForConfig(hostclient.For(r.host.Config, "registry-events"))
	if err != nil {
		return fmt.Errorf("making the registry's client of Events: %w", err)
	}
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	r.events = broadcaster.NewRecorder(imagescheme.Scheme, "weir-registry")
	g.Start("registry events", func(ctx context.Context) error {
		defer broadcaster.Shutdown()
		if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
	return nil
}

// warn records an Event about the image stream of a repository.
func (r *Registry) warn(repo reference.Repository, reason, action, note string) {
	about := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Namespace: repo.Namespace, Name: repo.Stream}}
	r.events.Eventf(about, nil, corev1.EventTypeWarning, reason, action, "%s", note[:min(len(note), maxEventNote)])
}

// keepFailed reports images that could not be kept at import.
func (r *Registry) keepFailed(_ context.Context, repo reference.Repository, err error) {
	r.warn(repo, reasonKeepFailed, "Keep", fmt.Sprintf("images could not be kept yet, trying again: %v", err))
}
