package streams

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// maxSkips bounds the parts of the catalog that are remembered as unseen.
const maxSkips = 1 << 12

// skips remember, of listings that cost more reviews than one request may, up to where a user sees
// nothing. The next request of the user goes on from there, over however many streams: what is
// remembered of each of them is bounded and counts for less time. A right shows later by that, and
// none is shown that was taken.
type skips struct {
	now   func() time.Time
	known *lru.Cache[skipKey, skip]
}

// skipKey is where a user sees nothing from: the first repository of a part of the list.
type skipKey struct{ user, first string }

type skip struct {
	to string // the last repository of the part
	at time.Time
}

func newSkips(now func() time.Time) *skips {
	return &skips{now, newLRU[skipKey, skip](maxSkips)}
}

// over returns a sorted list without the repositories at its beginning that the user does not see.
func (s *skips) over(user string, list []named) []named {
	if len(list) == 0 {
		return list
	}
	known, found := s.known.Get(skipKey{user, list[0].name})
	if !found || s.now().Sub(known.at) >= nothingFor {
		return list
	}
	return after(list, known.to)
}

// add remembers that the user sees nothing of the beginning of a list, up to what is left of it.
func (s *skips) add(user string, list, left []named) {
	if seen := len(list) - len(left); seen > 0 {
		s.known.Add(skipKey{user, list[0].name}, skip{list[seen-1].name, s.now()})
	}
}
