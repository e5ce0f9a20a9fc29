package imageimport

import (
	"math/bits"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"

	"golang.org/x/time/rate"
	"k8s.io/client-go/tools/events"

	"weir.dev/weir/internal/foreigntext"
	"weir.dev/weir/internal/stream"
)

// Reasons of the Kubernetes Events on image streams.
const (
	// ReasonImportFailed: the import of a tag failed for the first time (Warning).
	ReasonImportFailed = "ImportFailed"
	// ReasonImportRetry: another attempt is due at the time named (Normal after the
	// first failure, Warning after failed retries).
	ReasonImportRetry = "ImportRetry"
	// ReasonImportSucceeded: a tag was imported whose import had failed (Normal).
	ReasonImportSucceeded = "ImportSucceeded"
)

// action is the action in all Events of the controller.
const action = "Import"

// maxFailureText bounds the failure's message in an Event: with tag and pull spec it has to fit
// into 1024 bytes.
const maxFailureText = 450

// announcer writes a bounded number of events on streams. Each names its tag as related
// object; otherwise the recorder would aggregate the events of different tags into one
// series.
type announcer struct {
	recorder events.EventRecorder
	limit    *rate.Limiter
}

func newAnnouncer(recorder events.EventRecorder, perSecond float64) *announcer {
	return &announcer{recorder: recorder, limit: rate.NewLimiter(rate.Limit(perSecond), max(1, int(10*perSecond)))}
}

func (a *announcer) news(s *imagev1.ImageStream, n news) {
	if n.Failure == "" {
		a.write(s, n.Tag, corev1.EventTypeNormal, ReasonImportSucceeded, "tag %s was imported from %s after failures", n.Tag, n.Source)
		return
	}
	a.write(s, n.Tag, corev1.EventTypeWarning, ReasonImportFailed, "importing tag %s from %s failed: %s", n.Tag, n.Source, foreigntext.Truncate(n.Failure, maxFailureText))
}

// retry announces the attempts 1, 2, 4, 8 …, so that a permanent failure causes ever fewer
// events.
func (a *announcer) retry(s *imagev1.ImageStream, tag string, r stream.Retry) {
	if bits.OnesCount(uint(r.Attempt)) != 1 {
		return
	}
	kind := corev1.EventTypeNormal
	if r.Attempt > 1 {
		kind = corev1.EventTypeWarning
	}
	a.write(s, tag, kind, ReasonImportRetry, "attempt %d to import tag %s failed; the next is due at %s", r.Attempt, tag, r.Next.UTC().Format(time.RFC3339))
}

func (a *announcer) write(s *imagev1.ImageStream, tag, kind, reason, note string, args ...any) {
	if !a.limit.Allow() {
		eventsDropped.Inc()
		return
	}
	on := &corev1.ObjectReference{APIVersion: imagev1.GroupVersion.String(), Kind: "ImageStream", Namespace: s.Namespace, Name: s.Name, UID: s.UID}
	about := &corev1.ObjectReference{APIVersion: imagev1.GroupVersion.String(), Kind: "ImageStreamTag", Namespace: s.Namespace, Name: s.Name + ":" + tag}
	a.recorder.Eventf(on, about, kind, reason, action, note, args...)
}
