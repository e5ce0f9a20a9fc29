package imageimport

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// retryClass says how soon a failure may be over.
type retryClass int

const (
	// retryNever: the same request will fail until its spec changes.
	retryNever retryClass = iota
	// retryLater: somebody has to act: push the image, grant the right, unblock the registry.
	retryLater
	// retrySoon: trouble of a registry or of the network, or unknown.
	retrySoon
)

// noRepository is in the message of a pull spec that is valid and names no repository.
const noRepository = "unable to parse docker reference"

// classOf classifies the failure of a tag. InternalError covers so much (throttling,
// network, broken content) that it gets the benefit of the doubt; the back-off sorts
// out what lasts.
func classOf(reason metav1.StatusReason, message string) retryClass {
	if strings.Contains(message, noRepository) {
		return retryNever
	}
	switch reason {
	case metav1.StatusReasonNotFound, metav1.StatusReasonUnauthorized, metav1.StatusReasonForbidden, metav1.StatusReasonInvalid:
		return retryLater
	}
	return retrySoon
}

// refusedSecret is in the message of a failure for which the registry refused a pull secret.
const refusedSecret = "; the registry refused the credentials of "

// refusals are words of registries that deny access with a reason of InternalError.
var refusals = []string{"denied", "unauthorized", "403 Forbidden"}

// isRefusal reports whether another pull secret may mend a failure.
func isRefusal(reason metav1.StatusReason, message string) bool {
	switch {
	case reason == metav1.StatusReasonUnauthorized, strings.Contains(message, refusedSecret):
		return true
	case reason != metav1.StatusReasonInternalError:
		return false
	}
	return slices.ContainsFunc(refusals, func(words string) bool { return strings.Contains(message, words) })
}

// pause is how long to wait after the given number of failed attempts: twice as long
// each time up to Max, of which the second half is left to chance (0 ≤ random < 1) so
// that tags that failed together do not come back together. A longer pause that the
// registry asked for is kept, and up to a tenth of it added.
func (o RetryOptions) pause(attempts int, class retryClass, asked time.Duration, random float64) time.Duration {
	wait := o.Base.Duration
	if class == retryLater {
		wait = o.SlowBase.Duration
	}
	for i := 1; i < attempts && wait < o.Max.Duration; i++ {
		wait *= 2
	}
	wait = min(wait, o.Max.Duration)
	wait = wait/2 + time.Duration(random*float64(wait/2))
	if asked > wait {
		return asked + time.Duration(random*float64(asked)/10)
	}
	return wait
}

// askedPause is the pause that the registry asked for, 0 when it did not.
func askedPause(status *metav1.Status) time.Duration {
	if status.Details == nil {
		return 0
	}
	return time.Duration(status.Details.RetryAfterSeconds) * time.Second
}
