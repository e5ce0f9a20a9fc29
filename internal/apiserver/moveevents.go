package apiserver

import (
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/stream"
)

// reasonTagMoved is the reason of the Kubernetes Event on an image stream one of whose tags had an
// image and has another.
const reasonTagMoved = "TagMoved"

// The bound of these Events, over all streams. Pushes come in any number.
const (
	movesPerSecond = 10
	movesAtOnce    = 100
)

// moveEvents writes Events of moved tags.
type moveEvents struct {
	recorder events.EventRecorder
	limit    *rate.Limiter
}

func newMoveEvents(recorder events.EventRecorder) *moveEvents {
	return &moveEvents{recorder, rate.NewLimiter(movesPerSecond, movesAtOnce)}
}

func (e *moveEvents) announce(s *imagev1.ImageStream, moves []stream.Move, cause string) {
	on := &corev1.ObjectReference{APIVersion: imagev1.GroupVersion.String(), Kind: "ImageStream", Namespace: s.Namespace, Name: s.Name, UID: s.UID}
	for i, m := range moves {
		if !e.limit.Allow() {
			klog.V(2).InfoS("Moved tags have no Event, there are too many", "imageStream", klog.KObj(s), "tags", len(moves)-i)
			return
		}
		// The recorder folds Events that differ in their note only. The tag as of this version of the
		// stream keeps one of each move.
		about := &corev1.ObjectReference{
			APIVersion: imagev1.GroupVersion.String(), Kind: "ImageStreamTag", Namespace: s.Namespace, Name: s.Name + ":" + m.Tag, ResourceVersion: s.ResourceVersion,
		}
		e.recorder.Eventf(on, about, corev1.EventTypeNormal, reasonTagMoved, "Tag", "tag %s moved from %s to %s (%s)", m.Tag, m.From, m.To, why(m, cause))
	}
}

// why is the cause of a move, in words.
func why(m stream.Move, cause string) string {
	if m.Follows != "" {
		return fmt.Sprintf("%s, it follows tag %s", cause, m.Follows)
	}
	return cause
}
