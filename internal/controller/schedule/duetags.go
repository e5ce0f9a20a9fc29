package schedule

import (
	"time"

	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/stream"
)

// dueTags are those of tags that a check at now should ask for. A failed tag that is
// going to be retried within the interval is left to that; see package imageimport.
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
