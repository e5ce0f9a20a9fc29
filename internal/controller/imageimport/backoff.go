package imageimport

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// retryClass grades how soon a retry of a failure makes sense.
type retryClass int

const (
	// retryNever: the same request will fail until its spec changes.
	retryNever retryClass = iota
	// retryLater: a user has to act: push the image, grant the right, unblock the registry.
	retryLater
	// retrySoon: the registry or the network failed, or the cause is unknown.
	retrySoon
)

// noRepository is in the message of a pull spec that is valid and names no repository.
const noRepository = "unable to parse docker reference"

// classOf classifies the failure of a tag. InternalError covers so many causes (throttling,
// network, broken content) that it counts as transient; the back-off limits retries of
// permanent ones.
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

// refusedSecret is in the message of a failure because the registry rejected a pull secret.
const refusedSecret = "; the registry refused the credentials of "

// refusals are texts of registries that deny access, with the reason InternalError.
var refusals = []string{"denied", "unauthorized", "403 Forbidden"}

// isRefusal reports whether another pull secret may fix a failure.
func isRefusal(reason metav1.StatusReason, message string) bool {
	switch {
	case reason == metav1.StatusReasonUnauthorized, strings.Contains(message, refusedSecret):
		return true
	case reason != metav1.StatusReasonInternalError:
		return false
	}
	return slices.ContainsFunc(refusals, func(words string) bool { return strings.Contains(message, words) })
}

// pause returns how long to wait after the given number of failed attempts: twice as long
// each time up to Max, with the second half jittered (0 ≤ random < 1) so that tags that failed
// together are not retried together. A longer Retry-After of the registry takes precedence,
// with up to a tenth of it added.
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

// askedPause returns the Retry-After of the registry, 0 without one.
func askedPause(status *metav1.Status) time.Duration {
	if status.Details == nil {
		return 0
	}
	return time.Duration(status.Details.RetryAfterSeconds) * time.Second
}
