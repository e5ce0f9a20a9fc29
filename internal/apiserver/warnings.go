package apiserver

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/client-go/kubernetes"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/upstream"
)

// reasonUnusableSecret is the reason of the Event on a pull secret that imports
// leave out.
const reasonUnusableSecret = "UnusablePullSecret"

// secretWarnings tells of pull secrets that imports cannot use: the client in a
// Warning header, the secret's owner in an Event, the administrator in the log.
type secretWarnings struct {
	broadcaster events.EventBroadcaster
	recorder    events.EventRecorder
}

func newSecretWarnings(host kubernetes.Interface) *secretWarnings {
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: host.EventsV1()})
	return &secretWarnings{broadcaster, broadcaster.NewRecorder(clientscheme.Scheme, "weir-image-apiserver")}
}

// start writes Events until the server ends.
func (w *secretWarnings) start(hook genericapiserver.PostStartHookContext) error {
	context.AfterFunc(hook, w.broadcaster.Shutdown)
	return w.broadcaster.StartRecordingToSinkWithContext(hook)
}

func (w *secretWarnings) warn(ctx context.Context, namespace string, found upstream.Warning) {
	klog.FromContext(ctx).Info("an import leaves out a pull secret", "namespace", namespace, "warning", found.String())
	warning.AddWarning(ctx, "", found.String())
	name, ok := strings.CutPrefix(found.Origin, fmt.Sprintf("secret %s/", namespace))
	if !ok {
		return // the node's own credentials: no object to hang an Event on
	}
	secret := &corev1.ObjectReference{APIVersion: "v1", Kind: "Secret", Namespace: namespace, Name: name}
	w.recorder.Eventf(secret, nil, corev1.EventTypeWarning, reasonUnusableSecret, "Import", "%s", found.Text)
}
