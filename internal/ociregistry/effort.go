package ociregistry

import (
	"sync/atomic"
	"time"
)

// Streams may have thousands of images, and lists thousands of manifests. What a question
// about one digest may cost is bounded for all of them together.
const (
	// maxVisits bounds the manifests of lists that are looked at, and maxLookups those
	// that are not in memory: each is a read of storage and of the API.
	maxVisits  = 1 << 17
	maxLookups = 4096
	// absentFor is how long it is believed that a manifest of a list is nowhere: long enough
	// that whoever asks again gets further. What this process reads or stores is known at
	// once.
	absentFor = time.Minute
	// effortPause is when a client may ask again; more is in memory by then.
	effortPause = time.Second
)

// effort counts what one question has cost. It is safe for concurrent use.
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
