package schedule

import (
	"time"

	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/stream"
)

// dueTags returns the tags to import in a check at now. It leaves a failed tag that will be
// retried within the interval to package imageimport.
func dueTags(s *imagev1.ImageStream, tags []string, now time.Time, interval time.Duration) []string {
	var due []string
	for _, tag := range tags {
		retry, ok := stream.RetryOf(s, tag)
		if ok && retry.Next.After(now.Add(-stream.RetryGrace)) && !retry.Next.After(now.Add(interval)) {
			continue
		}
		due = append(due, tag)
	}
	return due
}
