package imageimport

import (
	"maps"
	"slices"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/controller/importrequest"
	"weir.dev/weir/internal/stream"
)

// retryPlan lists the actions for the failed tags of a stream. Lists are sorted.
type retryPlan struct {
	Start   []string  // failed and not in a series yet: note the first attempt
	Due     []string  // to be retried now
	Waiting int       // in a series and not due
	Next    time.Time // when the first of those is due; zero when there is none
}

// planRetries plans the retry of every spec tag whose current generation failed. It ignores
// tags that still wait for their import; hurried tags are due before the end of their pause.
func planRetries(s *imagev1.ImageStream, now time.Time, hurried map[string]bool) retryPlan {
	var plan retryPlan
	for i := range s.Spec.Tags {
		tag := &s.Spec.Tags[i]
		failure := failureOf(s, tag)
		if failure == nil || !importrequest.Importable(tag) || classOf(metav1.StatusReason(failure.Reason), failure.Message) == retryNever {
			continue
		}
		retry, ok := stream.RetryOf(s, tag.Name)
		switch {
		case !ok:
			plan.Start = append(plan.Start, tag.Name)
		case !retry.Next.After(now), hurried[tag.Name]:
			plan.Due = append(plan.Due, tag.Name)
		default:
			plan.Waiting++
			if plan.Next.IsZero() || retry.Next.Before(plan.Next) {
				plan.Next = retry.Next
			}
		}
	}
	return plan
}

// refusedTags returns the tags in a series of attempts whose failure another pull secret may
// fix.
func refusedTags(s *imagev1.ImageStream) []string {
	var tags []string
	for i := range s.Spec.Tags {
		tag := &s.Spec.Tags[i]
		failure := failureOf(s, tag)
		if failure == nil || !isRefusal(metav1.StatusReason(failure.Reason), failure.Message) {
			continue
		}
		if _, waits := stream.RetryOf(s, tag.Name); waits {
			tags = append(tags, tag.Name)
		}
	}
	return tags
}

// failureOf returns the condition with the failure of the spec tag's current generation, or
// nil. A failure of an older generation does not count: the import for the new one is
// pending.
func failureOf(s *imagev1.ImageStream, tag *imagev1.TagReference) *imagev1.TagEventCondition {
	failure := importCondition(s, tag.Name)
	if failure == nil || failure.Status != corev1.ConditionFalse || tag.Generation == nil || failure.Generation < *tag.Generation {
		return nil
	}
	return failure
}

// importCondition is the tag's first ImportSuccess condition, or nil.
func importCondition(s *imagev1.ImageStream, tag string) *imagev1.TagEventCondition {
	status := stream.StatusTag(s, tag)
	if status == nil {
		return nil
	}
	at := slices.IndexFunc(status.Conditions, func(c imagev1.TagEventCondition) bool { return c.Type == imagev1.ImportSuccess })
	if at < 0 {
		return nil
	}
	return &status.Conditions[at]
}

// notes are attempts, by tag, to be recorded in the status of a stream.
type notes map[string]stream.Retry

// apply writes the applicable notes to the stream and returns their tags, sorted. A note is
// applicable if the stream is at the preceding attempt; otherwise the spec changed, the tag was
// imported, or the note is written already.
func (n notes) apply(s *imagev1.ImageStream, now time.Time) []string {
	var noted []string
	for _, tag := range slices.Sorted(maps.Keys(n)) {
		before, _ := stream.RetryOf(s, tag)
		if before.Attempt == n[tag].Attempt-1 && stream.SetRetry(s, tag, n[tag], metav1.NewTime(now)) {
			noted = append(noted, tag)
		}
	}
	return noted
}

// hasFailures reports whether any tag of the stream has conditions at all, which is
// true of few streams.
func hasFailures(s *imagev1.ImageStream) bool {
	return slices.ContainsFunc(s.Status.Tags, func(t imagev1.NamedTagEventList) bool { return len(t.Conditions) > 0 })
}
