package apiserver

import (
	"context"
	"fmt"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/client-go/kubernetes"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/pullsecrets"
)

// reasonUnusableSecret is the reason of the Event on a pull secret that imports
// leave out.
const reasonUnusableSecret = "UnusablePullSecret"

// reasonSkippedSource is the reason of the Event on an image stream whose import came from
// another source, because one before it failed.
const reasonSkippedSource = "SourceFailed"

// importWarnings reports pull secrets that imports left out and sources that failed: to the client
// in a Warning header, to the owner of the secret or stream in an Event, and in the log.
type importWarnings struct {
	broadcaster events.EventBroadcaster
	recorder    events.EventRecorder
}

func newImportWarnings(host kubernetes.Interface) *importWarnings {
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: host.EventsV1()})
	return &importWarnings{broadcaster, broadcaster.NewRecorder(clientscheme.Scheme, "weir-image-apiserver")}
}

// start writes Events until the server ends.
func (w *importWarnings) start(hook genericapiserver.PostStartHookContext) error {
	context.AfterFunc(hook, w.broadcaster.Shutdown)
	return w.broadcaster.StartRecordingToSinkWithContext(hook)
}

// secret reports a pull secret that cannot be used.
func (w *importWarnings) secret(ctx context.Context, namespace string, found pullsecrets.Warning) {
	klog.FromContext(ctx).Info("an import leaves out a pull secret", "namespace", namespace, "warning", found.String())
	warning.AddWarning(ctx, "", found.String())
	name, ok := strings.CutPrefix(found.Origin, fmt.Sprintf("secret %s/", namespace))
	if !ok {
		return // the node's own credentials: no object to hang an Event on
	}
	secret := &corev1.ObjectReference{APIVersion: "v1", Kind: "Secret", Namespace: namespace, Name: name}
	w.recorder.Eventf(secret, nil, corev1.EventTypeWarning, reasonUnusableSecret, "Import", "%s", found.Text)
}

// source reports a source that failed. Looking at images without a stream makes no Event.
func (w *importWarnings) source(ctx context.Context, on *imagev1.ImageStream, text string) {
	warning.AddWarning(ctx, "", text)
	if on == nil {
		return
	}
	klog.FromContext(ctx).V(2).Info("an import went past a source", "imageStream", klog.KObj(on), "warning", text)
	s := &corev1.ObjectReference{APIVersion: imagev1.GroupVersion.String(), Kind: "ImageStream", Namespace: on.Namespace, Name: on.Name, UID: on.UID}
	w.recorder.Eventf(s, nil, corev1.EventTypeWarning, reasonSkippedSource, "Import", "%s", text)
}
