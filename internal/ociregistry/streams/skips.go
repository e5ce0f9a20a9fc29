package streams

import (
	"time"

	"weir.dev/weir/internal/caches"
)

// skipBytes bounds the parts of the catalog that are remembered as unseen.
const skipBytes = 1 << 20

// skips remember, of listings that cost more reviews than one request may, up to where a user sees
// nothing. The next request of the user goes on from there, over however many streams: what is
// remembered of each of them is bounded and counts for less time. A right shows later by that, and
// none is shown that was taken.
type skips struct {
	known *caches.Cache[skipKey, string] // to the last repository of the part
}

// skipKey is where a user sees nothing from: the first repository of a part of the list.
type skipKey struct{ user, first string }

func newSkips(p *caches.Pool, now func() time.Time) *skips {
	return &skips{caches.New(p, caches.Options[skipKey, string]{
		Name: "catalog_skips", Bytes: skipBytes, Life: nothingFor, Now: now,
		Cost:   func(k skipKey, to string) int { return len(k.user) + len(k.first) + len(to) },
		Tenant: func(k skipKey) string { return k.user },
	})}
}

// over returns a sorted list without the repositories at its beginning that the user does not see.
func (s *skips) over(user string, list []named) []named {
	if len(list) == 0 {
		return list
	}
	to, found := s.known.Get(skipKey{user, list[0].name})
	if !found {
		return list
	}
	return after(list, to)
}

// add remembers that the user sees nothing of the beginning of a list, up to what is left of it.
func (s *skips) add(user string, list, left []named) {
	if seen := len(list) - len(left); seen > 0 {
		s.known.Add(skipKey{user, list[0].name}, list[seen-1].name)
	}
}
