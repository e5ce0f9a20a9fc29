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
	// secondLook is when a stream is looked at again whose retries are still due after
	// an attempt: the cache has to catch up, or a registry has no turn left.
	secondLook = time.Second
)

// syncRetries brings the failed tags of a stream forward: it writes notes that are
// still to be written, begins series of attempts, and tries what is due.
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
	due, giveBack := r.takeTurns(s, plan.Due)
	defer giveBack()
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

// takeTurns takes a turn with each registry of tags that are due and returns the tags
// that have one. The others stay due, for another look.
func (r *run) takeTurns(s *imagev1.ImageStream, due []string) (tags []string, giveBack func()) {
	need := stream.ImportNeed{Tags: due}
	var taken []string
	for _, host := range importrequest.Hosts(s, need) {
		if r.retryTurns.Take(host) {
			taken = append(taken, host)
			tags = append(tags, importrequest.OfHost(s, need, host).Tags...)
		}
	}
	return tags, func() {
		for _, host := range taken {
			r.retryTurns.GiveBack(host)
		}
	}
}

// writeLeftover writes the notes that an earlier look at the stream could not write.
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

// attempt tries tags again and notes what failed. A stream that is gone needs nothing
// more; one that changed since it was read is looked at again. Everything else that goes
// wrong counts as a failure of each tag, so that it is backed off from like one.
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

// failuresOf are the tags of an import that failed: some, or all when there is no answer.
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

// writeNotes writes the notes of a stream into its status and returns it as it is then.
// s is the stream as last seen, or nil to read it.
func (r *run) writeNotes(ctx context.Context, key types.NamespacedName, s *imagev1.ImageStream) (*imagev1.ImageStream, error) {
	var err error
	for range writeAttempts {
		if s == nil {
			if s, err = r.live(ctx, key.Namespace, key.Name); err != nil {
				return nil, fmt.Errorf("reading the image stream to note failed imports: %w", err)
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
			return nil, fmt.Errorf("noting failed imports in the status of the image stream: %w", failure)
		}
		s, err = nil, failure
	}
	return nil, fmt.Errorf("noting failed imports in the status of the image stream: %w", err)
}
