package scrub

import (
	"time"

	"weir.dev/weir/internal/blobstore"
)

// plan returns the position to continue from, and how long to wait before that. A round
// that began in the future, further than clocks differ, is damage, and a new one begins.
func plan(stored blobstore.ScrubPosition, now time.Time, pause time.Duration) (position blobstore.ScrubPosition, wait time.Duration) {
	next := stored.RoundStarted.Add(pause)
	switch {
	case stored.RoundStarted.IsZero(), stored.RoundStarted.After(now.Add(pause)):
	case stored.Finished.IsZero():
		return stored, 0
	case next.After(now):
		return stored, next.Sub(now)
	}
	return blobstore.ScrubPosition{RoundStarted: now.UTC()}, 0
}

// ahead reports whether position a is further than b: in a later round, or further in the
// same one.
func ahead(a, b blobstore.ScrubPosition) bool {
	if !a.RoundStarted.Equal(b.RoundStarted) {
		return a.RoundStarted.After(b.RoundStarted)
	}
	if a.Finished.IsZero() != b.Finished.IsZero() {
		return b.Finished.IsZero()
	}
	return a.After > b.After
}
