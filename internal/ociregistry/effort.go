package ociregistry

import (
	"sync/atomic"
	"time"
)

// Streams may have thousands of images, and lists thousands of manifests. The cost of looking
// up one digest is bounded over all of them together.
const (
	// maxVisits bounds the visited manifests of lists, and maxLookups those not in memory:
	// each costs a read of storage and of the API.
	maxVisits  = 1 << 17
	maxLookups = 4096
	// absentFor is how long a manifest of a list is cached as absent: long enough for a retry
	// to get further. A manifest that this process reads or stores ends it at once.
	absentFor = time.Minute
	// effortPause is the Retry-After of a lookup that was too expensive; by then more is in memory.
	effortPause = time.Second
)

// effort counts the cost of one lookup. It is safe for concurrent use.
type effort struct{ visits, lookups atomic.Int64 }

// visit counts a manifest of a list. The error is CodeUnavailable.
func (e *effort) visit() error { return count(&e.visits, maxVisits) }

// lookUp counts one that is not in memory.
func (e *effort) lookUp() error { return count(&e.lookups, maxLookups) }

func count(n *atomic.Int64, most int64) error {
	if n.Add(1) <= most {
		return nil
	}
	err := NewError(CodeUnavailable, "the image stream refers to lists with too many manifests to look through all of them at once")
	err.RetryAfter = effortPause
	return err
}
