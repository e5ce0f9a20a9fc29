package stream

import (
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// RetryGrace is how late a retry may be before its tag is checked on schedule all the same.
const RetryGrace = time.Minute

// Check is when the source of a scheduled tag is checked. A time that is not known is zero.
type Check struct {
	Interval   time.Duration
	Last, Next time.Time
}

// Checks returns when the scheduled tags of a stream are checked, by tag. until is the time before
// which all checks that were due have been made, zero if that is not known. changed holds when the
// spec of each tag was last written by a client: checks before it were of another source, if there
// were any.
//
// Next is in the past while a check is due or under way.
func (i Intervals) Checks(s *imagev1.ImageStream, until, now time.Time, changed map[string]time.Time) map[string]Check {
	key := types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
	after := until
	if until.IsZero() || until.After(now) {
		after = now
	}
	checks := map[string]Check{}
	for slot, tags := range i.Slots(s) {
		next := slot.Next(key, after)
		turn := Check{Interval: slot.Interval, Next: next}
		if !until.IsZero() {
			turn.Last = next.Add(-slot.Interval)
		}
		for _, tag := range tags {
			checks[tag] = turn.of(s, tag, later(changed[tag], s.CreationTimestamp.Time), now)
		}
	}
	return checks
}

// of corrects the turn of a slot for one of its tags, whose spec is as old as since.
func (c Check) of(s *imagev1.ImageStream, tag string, since, now time.Time) Check {
	retry, retried := RetryOf(s, tag)
	if retried || c.Last.Before(since) { // it had no part in the turn
		c.Last = answeredAt(s, tag)
		if c.Last.Before(since) {
			c.Last = time.Time{}
		}
	}
	if retried && retry.Next.After(now.Add(-RetryGrace)) && retry.Next.Before(c.Next) {
		c.Next = retry.Next
	}
	return c
}

// answeredAt is when the newest import that changed the tag ended, in an image or in a failure.
func answeredAt(s *imagev1.ImageStream, tag string) time.Time {
	status := StatusTag(s, tag)
	if status == nil {
		return time.Time{}
	}
	var at time.Time
	if newest := head(status); newest != nil {
		at = newest.Created.Time
	}
	if failure := ImportFailure(status); failure != nil {
		at = later(at, failure.LastTransitionTime.Time)
	}
	return at
}

// ImportFailure is the condition of a tag whose newest import failed, nil for others. The pointer
// is into t.
func ImportFailure(t *imagev1.NamedTagEventList) *imagev1.TagEventCondition {
	for i := range t.Conditions {
		if c := &t.Conditions[i]; c.Type == imagev1.ImportSuccess && c.Status == corev1.ConditionFalse {
			return c
		}
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
