package imageimport

import (
	"context"
	"errors"
	"fmt"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/controller/importrequest"
	"weir.dev/weir/internal/stream"
)

const (
	// writeAttempts bounds how often a note races with other writers before the stream
	// goes back into the queue.
	writeAttempts = 5
	// secondLook is the delay before a stream is processed again if retries are still due
	// after an attempt: the cache has to catch up, or a registry has no free slot.
	secondLook = time.Second
)

// syncRetries processes the failed tags of a stream: it writes pending notes, begins series of
// attempts, and retries due tags.
func (r *run) syncRetries(ctx context.Context, key types.NamespacedName) error {
	s, err := r.stream(key.Namespace, key.Name)
	if apierrors.IsNotFound(err) {
		r.memory.forget(key)
		return nil
	}
	if err != nil {
		return err
	}
	if r.memory.isImporting(key) {
		return nil // the end of the import puts the stream back into the queue
	}
	if s, err = r.writeLeftover(ctx, key, s); err != nil {
		return err
	}
	plan := planRetries(s, r.now(), r.memory.hurriedTags(key))
	if len(plan.Start) > 0 {
		if s, err = r.begin(ctx, key, s, plan.Start); err != nil {
			return err
		}
		plan = planRetries(s, r.now(), r.memory.hurriedTags(key))
	}
	due, release := r.acquireSlots(s, plan.Due)
	defer release()
	if len(due) > 0 {
		if s, err = r.attempt(ctx, key, s, due); err != nil {
			return err
		}
		plan = planRetries(s, r.now(), r.memory.hurriedTags(key))
	}
	r.memory.setWaiting(key, plan.Waiting+len(plan.Due))
	if len(plan.Due) > 0 {
		r.retries.AddAfter(key, secondLook)
	} else if !plan.Next.IsZero() {
		r.retries.AddAfter(key, plan.Next.Sub(r.now()))
	}
	return nil
}

// acquireSlots acquires a slot of each registry of tags that are due and returns the tags
// that have one. The others stay due, for another look.
func (r *run) acquireSlots(s *imagev1.ImageStream, due []string) (tags []string, release func()) {
	need := stream.ImportNeed{Tags: due}
	var taken []string
	for _, host := range importrequest.Hosts(s, need) {
		if r.retrySlots.Acquire(host) {
			taken = append(taken, host)
			tags = append(tags, importrequest.OfHost(s, need, host).Tags...)
		}
	}
	return tags, func() {
		for _, host := range taken {
			r.retrySlots.Release(host)
		}
	}
}

// writeLeftover writes the notes that an earlier sync of the stream could not write.
func (r *run) writeLeftover(ctx context.Context, key types.NamespacedName, cached *imagev1.ImageStream) (*imagev1.ImageStream, error) {
	if len(r.memory.notes(key)) == 0 {
		return cached, nil
	}
	return r.writeNotes(ctx, key, nil)
}

// begin notes the first failed attempt of tags.
func (r *run) begin(ctx context.Context, key types.NamespacedName, s *imagev1.ImageStream, tags []string) (*imagev1.ImageStream, error) {
	for _, tag := range tags {
		failure := importCondition(s, tag)
		class := classOf(metav1.StatusReason(failure.Reason), failure.Message)
		r.note(key, tag, 1, class, r.memory.takeAsked(key, tag))
	}
	return r.writeNotes(ctx, key, s)
}

// attempt retries tags and notes failures. A deleted stream needs nothing more; one that
// changed since it was read is synced again. Any other error counts as a failure of each tag,
// with the same back-off.
func (r *run) attempt(ctx context.Context, key types.NamespacedName, s *imagev1.ImageStream, tags []string) (*imagev1.ImageStream, error) {
	isi := importrequest.Build(s, stream.ImportNeed{Tags: tags})
	if isi == nil {
		return s, nil
	}
	answer, err := r.post(ctx, isi, importrequest.WhyRetry)
	switch {
	case err == nil:
	case ctx.Err() != nil, apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return s, err
	default:
		klog.FromContext(ctx).Error(err, "Retrying the import of tags failed", "tags", tags)
	}
	r.memory.dropHurried(key, tags)
	for tag, status := range failuresOf(isi, answer, err) {
		before, _ := stream.RetryOf(s, tag)
		r.note(key, tag, before.Attempt+1, classOf(status.Reason, status.Message), askedPause(&status))
	}
	var after *imagev1.ImageStream
	if answer != nil {
		after = answer.Status.Import
	}
	return r.writeNotes(ctx, key, after)
}

// failuresOf returns the failed tags of an import: all of them without a response.
func failuresOf(isi, answer *imagev1.ImageStreamImport, err error) map[string]metav1.Status {
	if err == nil {
		return importrequest.Failures(answer)
	}
	status := metav1.Status{Reason: metav1.StatusReasonInternalError}
	if api := apierrors.APIStatus(nil); errors.As(err, &api) {
		status = api.Status()
	}
	failed := map[string]metav1.Status{}
	for i := range isi.Spec.Images {
		failed[isi.Spec.Images[i].To.Name] = status
	}
	return failed
}

func (r *run) note(key types.NamespacedName, tag string, attempt int, class retryClass, asked time.Duration) {
	pause := r.options.Retry.pause(attempt, class, asked, r.random())
	// Conditions keep whole seconds; a registry's pause must not come out shorter.
	next := r.now().Add(pause + time.Second - 1).Truncate(time.Second)
	r.memory.addNote(key, tag, stream.Retry{Attempt: attempt, Next: next})
}

// writeNotes writes the notes of a stream into its status and returns the updated stream. s is
// the last known version of the stream, or nil to read it.
func (r *run) writeNotes(ctx context.Context, key types.NamespacedName, s *imagev1.ImageStream) (*imagev1.ImageStream, error) {
	var err error
	for range writeAttempts {
		if s == nil {
			if s, err = r.live(ctx, key.Namespace, key.Name); err != nil {
				return nil, fmt.Errorf("reading the image stream to record failed imports: %w", err)
			}
		}
		unwritten, changed := r.memory.notes(key), s.DeepCopy()
		noted := unwritten.apply(changed, r.now())
		if len(noted) == 0 {
			r.memory.dropNotes(key)
			return s, nil
		}
		written, failure := r.writeStatus(ctx, changed)
		if failure == nil {
			r.memory.dropNotes(key)
			for _, tag := range noted {
				r.announce.retry(written, tag, unwritten[tag])
			}
			return written, nil
		}
		if !apierrors.IsConflict(failure) {
			return nil, fmt.Errorf("recording failed imports in the status of the image stream: %w", failure)
		}
		s, err = nil, failure
	}
	return nil, fmt.Errorf("recording failed imports in the status of the image stream: %w", err)
}
