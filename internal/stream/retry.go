package stream

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConditionImportRetry is the type of the tag condition in which the import
// controller keeps its place in a series of attempts, so that a restart goes on with
// it. It stands beside ImportSuccess and never counts as an answer to a spec tag's
// generation; clients that do not know it see a failed tag that gets better.
const ConditionImportRetry imagev1.TagEventConditionType = "weir.dev/ImportRetry"

// ReasonBackOff is the reason of a retry condition: another attempt is due later.
const ReasonBackOff = "BackOff"

// Retry is a place in a series of attempts to import a tag.
type Retry struct {
	Attempt int       // attempts that failed so far, from 1
	Next    time.Time // when the next one is due, to the second
}

// The message of a retry condition is for people and is read back by parseRetry.
const (
	retryMessagePrefix = "attempt "
	retryMessageMiddle = " to import failed; the next is due at "
)

func (r Retry) message() string {
	return fmt.Sprintf("%s%d%s%s", retryMessagePrefix, r.Attempt, retryMessageMiddle, r.Next.UTC().Format(time.RFC3339))
}

// parseRetry reads what message wrote. Status can be written by clients too, so
// anything else is no retry.
func parseRetry(message string) (Retry, bool) {
	rest, found := strings.CutPrefix(message, retryMessagePrefix)
	if !found {
		return Retry{}, false
	}
	number, next, found := strings.Cut(rest, retryMessageMiddle)
	if !found {
		return Retry{}, false
	}
	attempt, err := strconv.Atoi(number)
	if err != nil || attempt < 1 {
		return Retry{}, false
	}
	due, err := time.Parse(time.RFC3339, next)
	if err != nil {
		return Retry{}, false
	}
	retry := Retry{Attempt: attempt, Next: due.UTC()}
	if retry.message() != message {
		return Retry{}, false
	}
	return retry, true
}

// RetryOf is the tag's place in the series of attempts for its current spec. It is
// not ok when there is none, or when the spec tag moved on or is gone.
func RetryOf(s *imagev1.ImageStream, tag string) (Retry, bool) {
	condition := currentRetry(s, tag)
	if condition == nil {
		return Retry{}, false
	}
	return parseRetry(condition.Message)
}

// SetRetry notes the tag's place in the series of attempts for its current spec and
// reports whether that changed anything. It does nothing for a tag whose current
// generation has not failed: there is nothing to retry. The transition time stays
// that of the first failure of the series.
func SetRetry(s *imagev1.ImageStream, tag string, retry Retry, now metav1.Time) bool {
	spec, status := SpecTag(s, tag), StatusTag(s, tag)
	if spec == nil || spec.Generation == nil || !failedAt(status, *spec.Generation) {
		return false
	}
	wanted := imagev1.TagEventCondition{
		Type:               ConditionImportRetry,
		Status:             corev1.ConditionTrue,
		LastTransitionTime: now.Rfc3339Copy(),
		Reason:             ReasonBackOff,
		Message:            retry.message(),
		Generation:         *spec.Generation,
	}
	at := slices.IndexFunc(status.Conditions, isRetry)
	if at < 0 {
		status.Conditions = append(status.Conditions, wanted)
		return true
	}
	known := &status.Conditions[at]
	if known.Generation == wanted.Generation && known.Status == wanted.Status {
		wanted.LastTransitionTime = known.LastTransitionTime
	}
	if *known == wanted {
		return false
	}
	*known = wanted
	return true
}

// clearRetry ends the tag's series of attempts and reports whether there was one,
// current or not.
func clearRetry(s *imagev1.ImageStream, tag string) bool {
	status := StatusTag(s, tag)
	if status == nil {
		return false
	}
	before := len(status.Conditions)
	status.Conditions = slices.DeleteFunc(status.Conditions, isRetry)
	if len(status.Conditions) == 0 {
		status.Conditions = nil
	}
	return len(status.Conditions) != before
}

// currentRetry is the retry condition that belongs to the tag's spec as it is, or
// nil. The pointer is to a copy.
func currentRetry(s *imagev1.ImageStream, tag string) *imagev1.TagEventCondition {
	spec, status := SpecTag(s, tag), StatusTag(s, tag)
	if spec == nil || spec.Generation == nil || status == nil {
		return nil
	}
	at := slices.IndexFunc(status.Conditions, isRetry)
	if at < 0 || status.Conditions[at].Generation != *spec.Generation {
		return nil
	}
	condition := status.Conditions[at]
	return &condition
}

func isRetry(c imagev1.TagEventCondition) bool { return c.Type == ConditionImportRetry }

// failedAt reports whether the import for a generation of the spec tag failed. The
// condition of an import that was refused as a whole is one ahead of the spec tag.
func failedAt(t *imagev1.NamedTagEventList, generation int64) bool {
	return t != nil && slices.ContainsFunc(t.Conditions, func(c imagev1.TagEventCondition) bool {
		return c.Type == imagev1.ImportSuccess && c.Status == corev1.ConditionFalse && c.Generation >= generation
	})
}

func dropStaleRetry(s *imagev1.ImageStream, tag string) {
	if currentRetry(s, tag) == nil {
		clearRetry(s, tag)
	}
}

// dropStaleRetries ends the series of attempts whose spec tags moved on or are gone.
func dropStaleRetries(s *imagev1.ImageStream) {
	for i := range s.Status.Tags {
		if len(s.Status.Tags[i].Conditions) > 0 {
			dropStaleRetry(s, s.Status.Tags[i].Tag)
		}
	}
}
